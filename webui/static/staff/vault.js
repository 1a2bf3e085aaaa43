// A share is encrypted here, to the one-time key of the keyholder's process, and leaves this page only so.
// The format is docs/key_formats.md §3.

import { Aes256Gcm, CipherSuite, DhkemP256HkdfSha256, HkdfSha256 } from "../vendor/hpke.js";

const utf8 = (text) => new TextEncoder().encode(text);
const uuidBytes = (text) =>
  Uint8Array.from(text.replaceAll("-", "").match(/../g), (pair) => Number.parseInt(pair, 16));
const fromBase64 = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
const base64 = (bytes) => btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));

function concat(...parts) {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

async function sealed(form, share) {
  const hpke = new CipherSuite({
    kem: new DhkemP256HkdfSha256(),
    kdf: new HkdfSha256(),
    aead: new Aes256Gcm(),
  });
  const { vault, ceremony } = form.dataset;
  const info = concat(utf8("fupan handover v1"), uuidBytes(vault), uuidBytes(ceremony));
  const recipientPublicKey = await hpke.kem.deserializePublicKey(fromBase64(form.dataset.public));
  const sender = await hpke.createSenderContext({ recipientPublicKey, info });
  const bytes = utf8(share);
  try {
    return base64(concat(new Uint8Array(sender.enc), new Uint8Array(await sender.seal(bytes))));
  } finally {
    bytes.fill(0);
  }
}

for (const form of document.querySelectorAll("[data-share]")) {
  const field = form.querySelector("#f-share");
  const error = form.querySelector("#f-share-error");
  const say = (text) => {
    error.textContent = text;
    field.setAttribute("aria-invalid", "true");
    field.focus();
  };
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (!field.value.trim()) return say(form.dataset.empty);
    try {
      form.elements.sealed.value = await sealed(form, field.value);
    } catch {
      return say(form.dataset.failed);
    }
    field.value = "";
    form.submit();
  });
}
