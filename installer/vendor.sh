#!/bin/sh
# Remakes webui/static/vendor from the npm registry: each part in one file, with its licence.
# Needs node and npm; run it only to change a version, and commit what it makes.
set -eu
here=$(cd "$(dirname "$0")/.." && pwd)
out=$here/webui/static/vendor
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
cat > package.json <<'JSON'
{ "private": true,
  "dependencies": { "@picocss/pico": "2.1.1", "htmx.org": "2.0.11", "idb": "8.0.4", "@hpke/core": "1.9.0" },
  "devDependencies": { "esbuild": "0.28.2" } }
JSON
npm install --ignore-scripts --no-audit --no-fund --silent
bundle() { # bundle PACKAGE FILE: one ES module without outside imports
  printf 'export * from "%s";\n' "$1" > entry.js
  node_modules/.bin/esbuild entry.js --bundle --format=esm --target=es2022 --minify --legal-comments=inline \
    --log-level=warning --outfile="$out/$2"
}
mkdir -p "$out/licences"
bundle idb idb.js
bundle @hpke/core hpke.js
cp node_modules/@picocss/pico/css/pico.min.css "$out/pico.min.css"
cp node_modules/htmx.org/dist/htmx.min.js "$out/htmx.min.js"
cp node_modules/@picocss/pico/LICENSE.md "$out/licences/pico.txt"
cp node_modules/htmx.org/LICENSE "$out/licences/htmx.txt"
cp node_modules/idb/LICENSE "$out/licences/idb.txt"
cp node_modules/@hpke/core/LICENSE "$out/licences/hpke-core.txt"
cp node_modules/@hpke/common/LICENSE "$out/licences/hpke-common.txt"
cd "$out" && sha256sum ./*.css ./*.js > SHA256SUMS
