"""The room's pure modules in node: what a failing browser database or a refusing server leads to."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

MODULES = Path(__file__).parents[3] / "webui/static/intake"
NODE = shutil.which("node")
FLAGS = ["--no-warnings", "--experimental-default-type=module", "--input-type=module", "-e"]
pytestmark = pytest.mark.skipif(NODE is None, reason="node is not installed")


def run(script: str) -> Any:
    """What a module script prints as JSON; `load(name)` imports one of the room's modules."""
    load = f"const load = (name) => import(`{MODULES.as_uri()}/${{name}}`);\n"
    done = subprocess.run(
        [NODE, *FLAGS, load + script],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_piece_that_fails_is_a_gap_and_not_the_end_of_the_track() -> None:
    result = run("""
        const { Committer } = await load("recorder.js");
        const [stored, lost, troubles] = [[], [], []];
        const store = {
          async commit(recording, piece) {
            if (piece.n === 3) throw new Error("broken");
            if (piece.n === 4 && piece.tries++ < 7) throw new DOMException("full", "QuotaExceededError");
            stored.push(piece.n);
          },
        };
        const committer = new Committer({
          store,
          packet: { recording: "r" },
          uploader: { kick() {} },
          onStorage: (error) => troubles.push(error ? 1 : 0),
          onLost: (error) => lost.push(error.message),
        }, 1);
        committer.add(Promise.resolve({ n: 0 }));
        committer.add(Promise.reject(new Error("unsealed")));
        for (const n of [2, 3, 4]) committer.add(Promise.resolve({ n, tries: 0 }));
        await committer.idle();
        console.log(JSON.stringify({ stored, lost, last: troubles.at(-1), troubles: troubles.length }));
    """)
    assert result == {"stored": [0, 2, 4], "lost": ["unsealed", "broken"], "last": 0, "troubles": 15}


UPLOADER = """
    const handlers = {};
    globalThis.addEventListener = (kind, handler) => { handlers[kind] = handler; };
    const locks = { request: (name, options, run) => run() };
    Object.defineProperty(globalThis, "navigator", { value: { locks }, configurable: true });
    console.error = () => {};
    const { Uploader } = await load("upload.js");
    let queue = [];
    const aside = [];
    const store = {
      oldest: async () => queue[0],
      waiting: async () => queue.length,
      arrived: async (piece) => { queue = queue.filter((one) => one !== piece); },
    };
"""


def test_a_failing_database_does_not_end_the_uploading() -> None:
    result = run(
        UPLOADER
        + """
        queue = [{ n: 0 }, { n: 1 }];
        let faults = 2;
        const { oldest } = store;
        store.oldest = async () => {
          if (faults-- > 0) throw new DOMException("closing", "InvalidStateError");
          return oldest();
        };
        const sent = [];
        const uploader = new Uploader({ recording: "r", put: async ({ n }) => sent.push(n) }, store);
        const troubled = [];
        uploader.addEventListener("change", () => troubled.push(uploader.state.trouble));
        uploader.start();
        await uploader.drained();
        await new Promise((resolve) => setTimeout(resolve, 10));
        console.log(JSON.stringify({ sent, troubled: troubled.includes(true), now: uploader.state.trouble }));
        process.exit();
    """
    )
    assert result == {"sent": [0, 1], "troubled": True, "now": False}


@pytest.mark.parametrize(("status", "code"), [(409, "superseded"), (410, "late")])
def test_an_epoch_that_comes_too_late_is_set_aside_and_the_rest_is_sent(status: int, code: str) -> None:
    result = run(
        UPLOADER
        + f"const refusal = {json.dumps({'status': status, 'code': code})};"
        + """
        queue = ["new", "old", "new", "old"].map((epoch, n) => ({ epoch, n }));
        store.setEpochAside = async ({ epoch }) => {
          aside.push(epoch);
          queue = queue.filter((one) => one.epoch !== epoch);
        };
        const sent = [];
        const put = async ({ epoch, n }) => {
          if (epoch === "new") throw Object.assign(new Error(), refusal);
          sent.push(n);
        };
        const uploader = new Uploader({ recording: "r", put }, store);
        uploader.start();
        await uploader.drained();
        console.log(JSON.stringify({ sent, aside, faults: uploader.state.faults }));
        process.exit();
    """
    )
    assert result == {"sent": [1, 3], "aside": ["new"], "faults": 1}


@pytest.mark.parametrize(
    ("code", "aside"), [("recording_too_large", [["a", 1], ["b", 2]]), ("too_many_epochs", [["a", 0]])]
)
def test_at_a_limit_what_is_not_taken_is_set_aside_and_the_rest_is_sent(code: str, aside: list[Any]) -> None:
    result = run(
        UPLOADER
        + f"const code = {json.dumps(code)};"
        + """
        queue = [0, 1, 2].flatMap((n) => [{ epoch: "a", n }, { epoch: "b", n }]);
        store.setEpochAside = async ({ epoch }, from = 0) => {
          aside.push([epoch, from]);
          queue = queue.filter((one) => one.epoch !== epoch || one.n < from);
        };
        const sent = [];
        const refused = {
          recording_too_large: ({ epoch, n }) => n === 2 || (epoch === "a" && n === 1),
          too_many_epochs: ({ epoch }) => epoch === "a",
        }[code];
        const put = async (piece) => {
          if (refused(piece)) throw Object.assign(new Error(), { status: 413, code });
          sent.push(piece.epoch + piece.n);
        };
        const uploader = new Uploader({ recording: "r", put }, store);
        uploader.start();
        await uploader.drained();
        const { limit, problem, faults } = uploader.state;
        uploader.start(); // begun anew: what an earlier link met says nothing of this one
        console.log(JSON.stringify({ sent, aside, limit, problem, faults, anew: uploader.state.limit }));
        process.exit();
    """
    )
    sent = ["a0", "b0", "b1"] if code == "recording_too_large" else ["b0", "b1", "b2"]
    told = {"limit": code, "problem": "", "faults": len(aside), "anew": ""}
    assert result == {"sent": sent, "aside": aside, **told}


def test_the_tab_that_takes_the_sending_over_sends_and_the_other_goes_on_after_it() -> None:
    result = run(
        UPLOADER
        + """
        let holder = null;
        const waiting = [];
        const grant = () => {
          if (holder || waiting.length === 0) return;
          const one = (holder = waiting.shift());
          one.run().then((value) => {
            if (holder === one) holder = null;
            one.resolve(value);
            grant();
          });
        };
        locks.request = (name, { steal }, run) => new Promise((resolve, reject) => {
          if (steal && holder) {
            holder.reject(new DOMException("stolen", "AbortError"));
            holder = null;
          }
          waiting[steal ? "unshift" : "push"]({ run, resolve, reject });
          grant();
        });
        const sent = [];
        const tab = (name) => new Uploader({
          recording: "r",
          put: async ({ n }) => {
            if (n === 2 && name === "two") throw Object.assign(new Error(), { code: "expired" });
            sent.push(`${name} ${n}`);
          },
        }, store);
        const soon = () => new Promise((resolve) => setTimeout(resolve, 20));
        const [one, two] = [tab("one"), tab("two")];
        one.start();
        two.start();
        await soon();
        queue = [{ n: 0 }];
        one.kick();
        await one.drained();
        two.take();
        two.take();
        await soon();
        queue = [{ n: 1 }];
        one.kick();
        two.kick();
        await two.drained();
        queue = [{ n: 2 }];
        two.kick();
        const refused = await two.drained().catch((error) => error.message);
        await one.drained();
        console.log(JSON.stringify({ sent, refused }));
        process.exit();
    """
    )
    assert result == {"sent": ["one 0", "two 1", "one 2"], "refused": "expired"}


def test_the_list_ends_each_epoch_at_its_last_unbroken_piece() -> None:
    result = run("""
        const { provable } = await load("store.js");
        const { concat, hex, sha256 } = await load("codec.js");
        const track = "t";
        const row = (epoch, n, flag = 0) => ({ track, epoch, n, flag, digest: new Uint8Array(32).fill(n) });
        const whole = [row("a", 0), row("a", 1), row("a", 2, 1)];
        const gap = [row("b", 0), row("b", 1), row("b", 3), row("b", 4, 1)];
        const rows = [...whole, ...gap, row("c", 1)];
        const digests = whole.map((one) => one.digest);
        const over = async (count) => hex(await sha256(concat(...digests.slice(0, count))));
        const told = async (tracks) =>
          Promise.all((await provable(rows, tracks)).map(async ({ epoch, chunks, digest }) =>
            [epoch, chunks, [await over(1), await over(2), await over(3)].indexOf(digest) + 1]));
        const a = { have: [[0, 1]], end: true };
        const open = (...have) => ({ have: [have], end: false });
        console.log(JSON.stringify({
          known: await told(),
          lostEnd: await told({ t: { a: open(0, 1) } }),
          lostPiece: await told({ t: { a: open(0, 0), b: open(1, 1) } }),
          otherPiece: await told({ t: { a, b: { have: [[0, 3]], end: true } } }),
        }));
    """)
    assert result == {
        "known": [["a", 2, 3], ["b", 2, 2]],
        "lostEnd": [["a", 2, 2]],
        "lostPiece": [["a", 1, 1]],
        "otherPiece": [["a", 2, 3], ["b", 1, 2]],
    }


def test_stopping_the_events_twice_stops_them_once() -> None:
    result = run("""
        const { EventsTrack } = await load("events.js");
        const { newBrowserKey, publicPoint } = await load("seal.js");
        const { base64 } = await load("codec.js");
        const id = "00000000-0000-4000-8000-000000000000";
        const [pair, day] = [await newBrowserKey(), await newBrowserKey()];
        const [pieces, lost] = [[], []];
        const track = new EventsTrack({
          packet: { vault: id, recording: id },
          dayKey: { id: "d", public: base64(await publicPoint(day)) },
          pair,
          page: new Uint8Array(16),
          store: { saveEpoch: async () => {}, commit: async (_, { n, flag }) => pieces.push([n, flag]) },
          uploader: { kick() {} },
          onStorage: () => {},
          onLost: (error) => lost.push(error.message),
        });
        track.note("mark");
        await Promise.all([track.stop(), track.stop()]);
        track.note("mark");
        await track.stop();
        await new Promise((resolve) => setTimeout(resolve, 400));
        console.log(JSON.stringify({ pieces, lost }));
    """)
    assert result == {"pieces": [[0, 0], [1, 1]], "lost": []}


@pytest.mark.parametrize(
    ("attempt", "shown"),
    [
        ({"finishing": "done"}, {"answered", "complete"}),
        ({"finishing": "done", "short": True}, {"answered", "short", "aside"}),
        ({"finishing": "done", "short": True, "limited": True}, {"answered", "short", "limit"}),
        ({"finishing": "deadline"}, {"stopped", "deadline", "complete"}),
        ({"finishing": "recording_too_large", "limited": True}, {"stopped", "too-much", "short", "limit"}),
    ],
)
def test_the_last_screens_say_how_the_recording_ended_and_what_is_missing(
    attempt: dict[str, object], shown: set[str]
) -> None:
    result = run(
        f"const attempt = {json.dumps(attempt)};"
        """
        const names = "answered stopped deadline too-much complete short limit aside".split(" ");
        const parts = names.map((name) => ({ dataset: { when: name }, hidden: false }));
        globalThis.document = { querySelectorAll: () => parts };
        const { sayEnding } = await load("saved.js");
        sayEnding(attempt);
        console.log(JSON.stringify(parts.filter((part) => !part.hidden).map((part) => part.dataset.when)));
    """
    )
    assert set(result) == shown


def test_a_tab_that_waits_to_finish_leaves_it_to_the_one_that_has_begun_anew_meanwhile() -> None:
    result = run("""
        const locks = { request: (name, run) => run() };
        Object.defineProperty(globalThis, "navigator", { value: { locks }, configurable: true });
        const { deliver } = await load("finish.js");
        const attempt = { token: "earlier", finish: {}, finishing: "deadline", question: 1 };
        const [posts, saved] = [[], []];
        let kept = attempt;
        const receipt = await deliver({
          packet: { recording: "r" },
          attempt,
          api: { post: async (path) => posts.push(path) },
          store: { attempt: async () => kept, saveAttempt: async (one) => saved.push(one.token) },
          uploader: { take() {}, drained: async () => { kept = { token: "fresh" }; }, state: { limit: "" } },
        });
        console.log(JSON.stringify({ receipt, posts, saved }));
    """)
    assert result == {"receipt": None, "posts": [], "saved": []}
