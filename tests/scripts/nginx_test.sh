#!/bin/sh
# Tests share/ollamafs/nginx.conf with the real nginx, over a mount: nginx_test.sh BUILD
#
# It listens on loopback only. The mount is one for others, and nginx reads it as the user that it has
# on Debian. All of it happens in a mount and a process namespace of its own, which end with it.
set -eu

. "$(dirname "$0")/machine.sh"
in_namespaces "$@"
mount -t tmpfs -o mode=0755 none "$work"
top=$(cd "$(dirname "$0")/../.." && pwd)
ollamafs=$build/src/ollamafs
store=$work/store
view=$work/view
library=$store/manifests/registry.ollama.ai/library

failed=0
fail() {
  echo "FAILED: $*" >&2
  failed=1
}

# --- The store: the samples, broken ones, and weights of 1 GiB ---

umask 022
"$build/tests/support/make-store" --broken "$store" >/dev/null

# blob FILE: moves it into the store; prints the digest and the size as a manifest has them.
blob() {
  hex=${2:-$(sha256sum <"$1" | cut -c -64)}
  mv "$1" "$store/blobs/sha256-$hex"
  printf '"digest":"sha256:%s","size":%s' "$hex" "$(stat -c %s "$store/blobs/sha256-$hex")"
}

# weights NAME WEIGHTS: a model of these, as blob prints them.
weights() {
  printf '{"model_format":"gguf"}' >"$work/config"
  mkdir -p "$library/$1"
  type=application/vnd
  printf '{"schemaVersion":2,"mediaType":"%s","config":{"mediaType":"%s",%s},"layers":[{"mediaType":"%s",%s}]}' \
    $type.docker.distribution.manifest.v2+json $type.docker.container.image.v1+json "$(blob "$work/config")" \
    $type.ollama.image.model "$2" >"$work/manifest"
  mv "$work/manifest" "$library/$1/latest"
}

# Holes, with something at the ends, at the borders of what is pulled at once, and in between.
truncate -s 1G "$work/big"
for at in 0 99999 299999 536870 1073738; do
  head -c 3000 /dev/urandom | dd of="$work/big" bs=1000 seek=$at conv=notrunc status=none
done
truncate -s 1G "$work/big"
weights big "$(blob "$work/big")"
truncate -s 300M "$work/cut"
weights cut "$(blob "$work/cut" "$(printf '%064d' 7)")" # nobody computes its hash here

# --- The mount and the server ---

mount_view() {
  mkdir -p "$view"
  "$ollamafs" mount --store "$store" -o allow_other "$view" 2>"$work/mount.err" || {
    cat "$work/mount.err" >&2
    exit 1
  }
}
mount_view

export no_proxy=127.0.0.1 NO_PROXY=127.0.0.1
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
base=http://127.0.0.1:$port
server=$work/nginx
mkdir "$server"
sed -e "s|/run/ollamafs/view|$view|g" -e "s|listen 8080;|listen 127.0.0.1:$port;|" -e '/listen \[::\]/d' \
  "$top/share/ollamafs/nginx.conf" >"$server/ollamafs.conf"
cat >"$server/nginx.conf" <<END
user www-data;
worker_processes 2;
pid $server/pid;
error_log $server/error.log;
events { }
http {
  include /etc/nginx/mime.types;
  default_type text/html;
  gzip on;
  access_log $server/access.log;
  client_body_temp_path $server/body;
  proxy_temp_path $server/proxy;
  fastcgi_temp_path $server/fastcgi;
  uwsgi_temp_path $server/uwsgi;
  scgi_temp_path $server/scgi;
  include $server/ollamafs.conf;
}
END
nginx -p "$server" -c "$server/nginx.conf" -e "$server/error.log" || { cat "$server/error.log" >&2; exit 1; }

# asks PATH [OPTION...]: prints the status; the answer is in $work/body and $work/headers.
asks() {
  path=$1
  shift
  : >"$work/body"
  curl -sS --path-as-is -o "$work/body" -D "$work/headers" -w '%{http_code}' "$@" "$base$path"
}

# answers STATUS PATH [OPTION...]
answers() {
  wanted=$1
  shift
  status=$(asks "$@") || status="$status, and curl failed"
  [ "$status" = "$wanted" ] || fail "$status, not $wanted: $*"
}

# within 10 seconds
eventually_answers() {
  for _ in $(seq 100); do
    [ "$(asks "$2")" != "$1" ] || return 0
    sleep 0.1
  done
  fail "never $1: $2"
}

has_header() { tr -d '\r' <"$work/headers" | grep -qixF "$1" || fail "no header \"$1\": $(cat "$work/headers")"; }
is_file() { cmp -s "$work/body" "$view/$1" || fail "other bytes than $1"; }

# --- Pull ---

# Models by name and ID; the rest of the line is the store's own.
ids() { "$ollamafs" list --store "$1" --json | sed -n 's/^ *"\(name\|id\)": "\(.*\)",$/\2/p' | paste - - | sort; }

answers 200 /v2/
answers 200 /v2/library/llama3.2/manifests/3b
has_header "Content-Type: application/vnd.docker.distribution.manifest.v2+json"
is_file layouts/ollama/manifests/registry.ollama.ai/library/llama3.2/3b
digest=sha256:$(sha256sum <"$work/body" | cut -c -64)
"$ollamafs" list --store "$store" --json | grep -qF "$digest" || fail "no model has the digest $digest"

for name in library/big:latest library/llama3.2:3b library/gemma3:4b mannix/pirate:q4 me/describer:latest \
  me/qwen3-moe:nvfp4; do
  "$top/tests/scripts/pull.py" "$base" $name "$work/pulled" || fail "pull $name"
done
"$ollamafs" verify --quiet --store "$work/pulled" || fail "what was pulled is not whole"
ids "$work/pulled" >"$work/ids"
[ "$(wc -l <"$work/ids")" -eq 6 ] || fail "pulled $(cat "$work/ids")"
ids "$store" | comm -13 - "$work/ids" | grep . && fail "these have another ID"
[ "$(grep -c '"GET .*/blobs/.*" 206 ' "$server/access.log")" -ge 11 ] || fail "no ranges of the 1 GiB"

answers 200 /v2/bartowski/Llama-3.2-3B-Instruct-GGUF/manifests/Q4_K_M
answers 200 /v2/library/big/manifests/latest -I
answers 405 /v2/library/big/manifests/latest -X PUT -d x

# --- What cannot be had ---

for path in /v2/library/big/manifests/other /v2/library/none/manifests/latest /v2/none/big/manifests/latest \
  /v2/broken/missing/manifests/latest /v2/broken/short/manifests/latest /v2/broken/climbing/manifests/latest \
  "/v2/library/big/blobs/sha256:$(printf '%064d' 1)" /v2/library/big/blobs/sha256:12 /v2/library/big/blobs/big \
  /archives/none+latest.tar /archives/broken/missing+latest.tar /archives/broken/short+latest.tar \
  /contents/broken/missing+latest/ /contents/broken/missing+latest/model.gguf /contents/broken/short+latest/ \
  /models/ /models/big+latest/ /layouts/ /layouts/ollama/blobs/ /hub-tree/ /hub-refs/ /none /v2 /v2/_catalog; do
  answers 404 "$path"
done
answers 416 /archives/big+latest.tar -r 1200000000-

# Out of the view, by every way that a path has.
for path in /../store/manifests /archives/../../store /archives/../models/ /archives/%2e%2e/models/ \
  /archives/..%2fmodels/ /archives/%2e%2e%2f%2e%2e%2fstore/ /contents/../../../../etc/passwd \
  /contents/..%2f..%2f..%2f..%2fetc/passwd /archives../store/ /archives//../../../etc/passwd \
  /v2/../../etc/passwd /v2/library/../manifests/latest /v2/library/%2e%2e/manifests/latest \
  /v2/library/big/manifests/%2e%2e /v2/library/big/manifests/..%2flatest \
  /v2/..%2f..%2f..%2fstore/big/manifests/latest /v2/library/big/blobs/sha256:..%2f..%2fmanifests \
  /api/models/../../x/tree/main /api/models/library/..%2f..%2f/refs /library/%2e%2e/resolve/main/x \
  /library/llama3.2/resolve/main/..%2f..%2fx /library/llama3.2/resolve/main/%2e%2e '/archives/%00' '/archives/\..\x'; do
  status=$(asks "$path") || true
  case $status in 400 | 404) ;; *) fail "$status: $path" ;; esac
done

# --- Archives and contents ---

archive=archives/cut+latest.tar
answers 206 "/$archive" -r 100-611
tail -c +101 "$view/$archive" | head -c 512 | cmp -s - "$work/body" || fail "another range"
has_header "Content-Length: 512"
head -c 100000000 "$view/$archive" >"$work/part.tar"
curl -sSf -C - -o "$work/part.tar" "$base/$archive" || fail "an archive is not resumed"
cmp -s "$work/part.tar" "$view/$archive" || fail "a resumed archive has other bytes"
tail -n 1 "$server/access.log" | grep -q " 206 21[0-9]* " || fail "it was not resumed: $(tail -n 1 "$server/access.log")"
rm "$work/part.tar"
answers 200 /archives/mannix/pirate+q4.tar
has_header "Content-Type: application/x-tar"
is_file archives/mannix/pirate+q4.tar
answers 200 "/archives/localhost%253A5000/team/tuned+v1.0.tar"
is_file archives/localhost%3A5000/team/tuned+v1.0.tar
answers 200 /archives/
grep -q 'big+latest.tar' "$work/body" || grep -q 'big%2Blatest.tar' "$work/body" || fail "no listing"
answers 301 /archives/mannix
has_header "Location: /archives/mannix/"
answers 200 /contents/llama3.2+3b/Modelfile
has_header "Content-Type: text/plain; charset=utf-8"
answers 200 /contents/llama3.2+3b/model.gguf
has_header "Content-Type: application/octet-stream"
has_header "X-Content-Type-Options: nosniff"
is_file contents/llama3.2+3b/model.gguf

# --- The page, and all that it leads to ---

answers 200 /
has_header "Content-Type: text/html; charset=utf-8"
is_file index.html
grep -o 'href="[^"]*"' "$view/index.html" | sed 's/^href="\(.*\)"$/\1/' | sort -u >"$work/links"
[ "$(wc -l <"$work/links")" -ge 18 ] || fail "few links"
while read -r link; do
  answers 200 "/$link" -I
done <"$work/links"

# --- HF_ENDPOINT ---

repository=library/llama3.2
cached=layouts/huggingface/models--library--llama3.2
commit=$(cat "$view/$cached/refs/main")
answers 200 /api/models/$repository/refs
has_header "Content-Type: application/json"
python3 - "$work/body" "$commit" <<'END' || fail "refs: $(cat "$work/body")"
import json, sys
branch, = json.load(open(sys.argv[1]))["branches"]
assert (branch["name"], branch["targetCommit"]) == ("main", sys.argv[2])
END
answers 200 "/api/models/$repository/tree/$commit?recursive=true"
python3 - "$work/body" "$view/$cached/snapshots/$commit" <<'END' || fail "tree: $(cat "$work/body")"
import json, os, sys
told = {file["path"]: (file["type"], file["size"]) for file in json.load(open(sys.argv[1]))}
there = {file.name: ("file", file.stat().st_size) for file in os.scandir(sys.argv[2])}
assert told == there and len(there) == 2, there
END
for revision in "$commit" main; do
  answers 200 /$repository/resolve/"$revision"/llama3.2-3b.gguf
  is_file $cached/snapshots/"$commit"/llama3.2-3b.gguf
  answers 206 /$repository/resolve/"$revision"/llama3.2-3b.gguf -r 5-9
done
other=$(printf '%040d' 1)
for path in /api/models/library/none/refs "/api/models/library/none/tree/$commit" \
  "/api/models/$repository/tree/$other" /$repository/resolve/"$other"/llama3.2-3b.gguf \
  /$repository/resolve/main/none.gguf /$repository/resolve/"$commit"/; do
  answers 404 "$path"
done

# --- While it runs ---

answers 404 /v2/library/later/manifests/latest
cp -r "$library/big" "$library/later"
eventually_answers 200 /v2/library/later/manifests/latest

# Its weights lose their end while they are sent: the transfer fails, and is not taken for a short file.
path=/v2/library/cut/blobs/sha256:$(printf '%064d' 7)
answers 200 "$path" -I
curl -sS --limit-rate 20M -o "$work/body" "$base$path" 2>"$work/curl.err" &
sleep 1
truncate -s 1M "$store/blobs/sha256-$(printf '%064d' 7)"
! wait $! || fail "a blob that was cut arrived: $(stat -c %s "$work/body") bytes"
eventually_answers 404 "$path"
eventually_answers 404 /v2/library/cut/manifests/latest
eventually_answers 404 /archives/cut+latest.tar

mv "$store" "$store.away"
eventually_answers 503 /archives/big+latest.tar
answers 503 /archives/
! asks /v2/library/big/manifests/latest | grep -q 200 || fail "a manifest of a store that is gone"
mv "$store.away" "$store"
eventually_answers 200 /archives/big+latest.tar -I

# A transfer that began before goes on after: the mark of a file is a function of its content.
answers 200 /archives/big+latest.tar -I
mark=$(grep -i '^etag:' "$work/headers")
"$ollamafs" umount "$view"
answers 503 /archives/big+latest.tar # of a mount that is not there
answers 503 /v2/library/big/manifests/latest
mount_view
answers 206 /archives/big+latest.tar -r 0-9 -H "If-Range: $(echo "$mark" | tr -d '\r' | sed 's/^[^:]*: //')"

nginx -p "$server" -c "$server/nginx.conf" -e "$server/error.log" -s stop
"$ollamafs" umount "$view"
if [ "$failed" -ne 0 ]; then
  tail -n 20 "$server/error.log" >&2
  exit 1
fi
echo "all passed with $(nginx -v 2>&1)"
