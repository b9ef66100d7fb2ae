#!/bin/sh
# Tests `ollamafs export` as a person and a script use it: export_test.sh BUILD
#
# What other programs read of it; pipes, terminals, Ctrl-C, a full disk; and how much memory a blob of
# 20 GiB takes. Needs root, for a small disk in a mount namespace of its own, which ends with it.
set -eu

. "$(dirname "$0")/machine.sh"
. "$(dirname "$0")/expect.sh"
in_namespaces "$@"
program=$build/src/ollamafs
cd "$work"

hash_of() {
  sha256sum | cut -d ' ' -f 1
}

# sparse_model NAME SIZE: one that takes no room. Nobody computes its hash here.
sparse_model() {
  digest=$(printf %s "$1" | hash_of)
  truncate -s "$2" "store/blobs/sha256-$digest"
  mkdir -p "store/manifests/registry.ollama.ai/library/$1"
  printf '{"schemaVersion":2,"mediaType":"application/vnd.docker.distribution.manifest.v2+json",' \
    >"store/manifests/registry.ollama.ai/library/$1/latest"
  printf '"config":{"digest":"sha256:%s","size":%s},"layers":[]}' "$digest" \
    "$(stat -c %s "store/blobs/sha256-$digest")" \
    >>"store/manifests/registry.ollama.ai/library/$1/latest"
}

"$build/tests/support/make-store" store >/dev/null
export OLLAMA_MODELS="$work/store"
model=llama3.2:3b

# --- What it writes, other programs read ---

"$program" export $model >report
read -r name id file <report
[ "$name $file" = "$model llama3.2+3b.tar" ] || fail "it reports $(cat report)"
"$program" list | grep -q "^$model *$id " || fail "$id is not the ID of $model"
"$program" export $model -o model.tar.zst --quiet
"$program" export $model -o model.tgz --quiet
"$program" export $model -o - >piped.tar
cmp llama3.2+3b.tar piped.tar
for out in /dev/stdout /dev/fd/1; do
  "$program" export $model -o $out | cmp - piped.tar
  "$program" export $model -o $out >stdout.tar
  cmp stdout.tar piped.tar
done
mkfifo fifo
cat fifo >through-fifo.tar &
"$program" export $model -o fifo -q
wait $!
cmp through-fifo.tar piped.tar
if [ ! -p fifo ] || [ -e fifo.part ]; then fail "the FIFO was replaced"; fi
mkdir devices
mount -t tmpfs none devices
mknod devices/null c 1 3
"$program" export $model -o devices/null -q --force
if [ ! -c devices/null ] || [ "$(ls devices)" != null ]; then fail "a device was replaced"; fi
rm fifo
[ "$(zstd -dc model.tar.zst | hash_of)" = "$(hash_of <piped.tar)" ] || fail "zstd -d reads another tar"
[ "$(gzip -dc model.tgz | hash_of)" = "$(hash_of <piped.tar)" ] || fail "gzip -d reads another tar"
"$program" export $model --dry-run | awk '{ print $2 }' >members
tar -tf llama3.2+3b.tar | cmp - members
tar --zstd -tf model.tar.zst | cmp - members
tar -tzf model.tgz | cmp - members
bsdtar -tf model.tar.zst | cmp - members
"$program" export $model --format dir -o folder --quiet
mkdir unpacked && tar -xf piped.tar -C unpacked
diff -r folder unpacked
OLLAMA_MODELS=$work/unpacked "$program" list | grep -q "^$model *$id " ||
  fail "the model has another ID where the tar was unpacked"

# --- A target that has some of it ---

"$program" list --blobs >blobs
find store/blobs -type f -printf "%f\n" | LC_ALL=C sort | cmp - blobs
"$program" export 'llama3.2:*' --have folder -o - | tar -tf - | grep blobs &&
  fail "the blobs that the target has are sent again"
"$program" list --blobs | "$program" export $model --have - -o - | tar -tf - >rest
[ "$(cat rest)" = manifests/registry.ollama.ai/library/llama3.2/3b ] || fail "sent: $(cat rest)"

# --- What it refuses ---

expect 8 "$program" export $model
said 'llama3.2+3b.tar is there already'
"$program" export $model --force --quiet
echo precious >other.tar.part
expect 8 "$program" export $model -o other.tar
said 'other.tar.part is there already'
[ "$(cat other.tar.part)" = precious ] || fail "a foreign part was overwritten"
rm other.tar.part
expect 2 "$program" export $model --format dir -o /dev/stdout
expect 5 "$program" export llama3.3
said 'did you mean'
expect 2 "$program" export $model -o - --json
expect 8 script -qec "'$program' export $model -o -" typescript >/dev/null
grep -q 'not written to a terminal' typescript || fail "it says on a terminal: $(cat typescript)"
cp -r store broken
rm broken/blobs/*
expect 6 "$program" export $model --store broken -o broken.tar
said 'is missing'
[ -z "$(find . -name 'broken.tar*')" ] || fail "there is a file of a broken model"

# --- Pipes that end, and Ctrl-C ---

sparse_model big 20G
sparse_model middle 500M
expect 1 sh -c "{ '$program' export big -o -; echo \$? >status; } | head -c 100000 >/dev/null; exit \$(cat status)"
said 'has ended, before the end'

# begin COMMAND...: runs it beside this; `sh` would have it ignore SIGINT. Its process is $writer.
begin() {
  env --default-signal=INT "$@" 2>said &
  writer=$!
}

# interrupt SIGNAL: it has to end at once, with status 130.
interrupt() {
  kill -"$1" $writer 2>/dev/null || fail "it had ended by itself: $(cat said)"
  status=0
  wait $writer || status=$?
  [ "$status" -eq 130 ] || fail "it ended with $status at SIG$1: $(cat said)"
  said 'interrupted; '
}

# The reader does not read: the writer waits in the kernel.
mkfifo waiting
tail -f /dev/null <waiting &
reader=$!
for signal in INT TERM HUP; do
  begin "$program" export big -o waiting
  sleep 1
  interrupt $signal
done
kill $reader

# A file: it goes on where it stopped, and is the same in the end.
mkdir half
begin "$program" export middle -o half/
until [ -s half/middle+latest.tar.part ]; do sleep 0.01; done
interrupt INT
[ "$(ls half)" = middle+latest.tar.part ] || fail "Ctrl-C leaves $(ls half)"
said 'half/middle+latest.tar.part'
"$program" export middle -o half/ --quiet
[ "$(ls half)" = middle+latest.tar ] || fail "the second time leaves $(ls half)"
"$program" export middle -o - | cmp - half/middle+latest.tar
rm -r half

# SIGKILL, and what is compressed.
mkdir half
begin "$program" export middle -o half/m.tar
until [ -s half/m.tar.part ]; do sleep 0.01; done
kill -KILL $writer
wait $writer || true
[ "$(ls half)" = m.tar.part ] || fail "SIGKILL leaves $(ls half)"
"$program" export middle -o half/m.tar --quiet
"$program" export middle -o - | cmp - half/m.tar
rm half/m.tar
begin "$program" export big -o half/b.tar.zst
until [ -s half/b.tar.zst.part ]; do sleep 0.01; done
interrupt INT
[ -z "$(ls half)" ] || fail "Ctrl-C leaves $(ls half)"

# --- A full disk, and one that is read-only ---

mkdir disk
mount -t tmpfs -o size=2m none disk
expect 7 "$program" export gemma3:4b llama3.2:3b -o disk/
said 'free$'
[ -z "$(ls disk)" ] || fail "a full disk has $(ls disk)"
expect 7 "$program" export gemma3:4b llama3.2:3b -o disk/x.tar.zst # how large is not known before
[ -z "$(ls disk)" ] || fail "a full disk has $(ls disk)"
expect 7 "$program" export gemma3:4b llama3.2:3b --format dir -o disk
[ ! -e disk/manifests ] || fail "a full disk has a manifest"
find disk -name '*.part' | grep . && fail "a full disk has a part"
rm -rf disk/blobs
mount -o remount,ro disk
expect 1 "$program" export gemma3:4b -o disk/
said 'disk/gemma3+4b.tar.part: Read-only file system'

# --- 20 GiB in 64 MiB ---

cat >peak.py <<'END'
import resource, subprocess, sys
subprocess.run(sys.argv[2:], check=True, stdout=subprocess.DEVNULL)
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
print(f"{peak} KiB for {' '.join(sys.argv[3:])}")
sys.exit(peak > int(sys.argv[1]))
END
for format in tar tar.zst; do
  mkfifo out
  cat out >/dev/null &
  python3 peak.py 65536 "$program" export big --format $format -o out ||
    fail "more than 64 MiB of memory"
  wait $!
  rm out
done
python3 peak.py 65536 "$program" export middle --format tar.gz -o - || fail "more than 64 MiB"
