#pragma once

#include <filesystem>
#include <iosfwd>
#include <span>
#include <string>
#include <vector>

#include "tests/mounted/mount.h"
#include "tests/support/process.h"
#include "tests/support/store_builder.h"

namespace ollamafs::test {

// Copies the directory $1 into the directory $2 under its own name. $3: configuration of ssh.
struct Tool {
  const char* name;
  const char* line;
};

void PrintTo(const Tool& tool, std::ostream* out);

inline constexpr Tool kTools[] = {
    {"RsyncArchive", R"(rsync -a "$1" "$2/")"},
    {"RsyncAsTaught", R"sh(rsync -rtO --delay-updates "$1/" "$2/$(basename "$1")/")sh"},
    {"CpRecursive", R"(cp -r "$1" "$2/")"},
    {"CpArchive", R"(cp -a "$1" "$2/")"},
    {"Tar", R"sh(tar -c -C "$(dirname "$1")" "$(basename "$1")" | tar -x -C "$2")sh"},
    {"ThreadForEachFile", R"sh(python3 -c 'import os, shutil, sys, threading
source, target = sys.argv[1:]
failed = []
def copy(*paths):
  try: shutil.copyfile(*paths)
  except OSError as error: failed.append(error)
for folder, _, names in os.walk(source, onerror=failed.append):
  into = os.path.join(target, os.path.relpath(folder, os.path.dirname(source)))
  os.makedirs(into, exist_ok=True)
  for name in names:
    thread = threading.Thread(target=copy, args=(os.path.join(folder, name), os.path.join(into, name)))
    thread.start()
    thread.join()
sys.exit(bool(failed))' "$1" "$2")sh"},
    {"Scp", R"(scp -F "$3" -r "$1" target:"$2/")"},
    {"OldScp", R"(scp -O -F "$3" -r "$1" target:"$2/")"},
    // Downloaders: what they read, a server lists for them.
    {"ScpFrom", R"(scp -F "$3" -r target:"$1" "$2/")"},
    {"OldScpFrom", R"(scp -O -F "$3" -r target:"$1" "$2/")"},
    {"SftpGet", R"(echo "get -r \"$1\" \"$2/\"" | sftp -F "$3" -b - target)"},
    {"Lftp", R"sh(lftp -c "set net:max-retries 1; set xfer:log no
      set sftp:connect-program 'ssh -a -x -F $3'; open -u root, sftp://target
      mirror '$1' '$2/$(basename "$1")'")sh"},
    {"Sshfs", R"sh(at=$(mktemp -d)
      trap 'fusermount3 -u "$at"; rmdir "$at"' EXIT
      sshfs -F "$3" target:/ "$at" && cp -r "$at/$1" "$2/")sh"},
    // A process for each file: none knows what another one missed, so the first that fails ends it.
    {"Gio", R"sh(walk() (
        mkdir -p "$2" && names=$(gio list "$1") || return 1
        for name in $names; do
          if [ -d "$1/$name" ]; then walk "$1/$name" "$2/$name"; else gio copy "$1/$name" "$2/"; fi ||
            return 1
        done)
      walk "$1" "$2/$(basename "$1")")sh"},
};

// Those of them that need no server.
inline constexpr auto kLocalTools = std::span{kTools}.first<6>();

Result copy(const Tool& tool, const std::filesystem::path& from, const std::filesystem::path& into,
            const std::string& ssh = {}, const RunOptions& options = {});

// Every file that a copy holds below some manifests/.
[[nodiscard]] std::vector<std::string> manifests_in(const std::filesystem::path& folder);

// errno of opening a file, 0 if it can be opened.
[[nodiscard]] int opening_fails_with(const std::filesystem::path& path);

// The extended attribute user.ollamafs.NAME.
[[nodiscard]] std::string attribute(const std::filesystem::path& path, const std::string& name);

// A store with the model bad/one:v1, whose weights can be damaged, and two whole ones. Each of
// these shares template, params and config with it.
struct ThreeModels {
  explicit ThreeModels(const std::filesystem::path& root) : builder{root} {
    builder.v1("good:v1", good);
    builder.v2("me/other:v1", other);
    builder.v1("bad/one:v1", bad);
  }
  void rewrite() const { builder.v1("bad/one:v1", bad); }
  [[nodiscard]] LayerSpec& weights() { return bad.layers[0]; }
  [[nodiscard]] std::filesystem::path blob() const { return path_of(bad.layers[0]); }
  [[nodiscard]] std::filesystem::path path_of(const LayerSpec& layer) const {
    return builder.blob_path(Digest::parse(layer.digest).value());
  }

  StoreBuilder builder;
  ManifestSpec good = builder.text_model(1, 70'000);
  ManifestSpec other = builder.text_model(2, 80'000);
  ManifestSpec bad = builder.text_model(3, 90'000);
};

inline constexpr const char* kGoodManifest = "manifests/registry.ollama.ai/library/good/v1";
inline constexpr const char* kOtherManifest = "manifests/registry.ollama.ai/me/other/v1";

// That the copy of models/good+v1 holds its manifest and its blobs.
void expect_good_copy(const ThreeModels& store, const std::filesystem::path& folder);

// That bad/one:v1 is shown as broken, with these words in its state, and that neither its files nor
// its folders can be read.
void expect_broken(const Mount& mount, const std::string& state, const std::string& named);

}  // namespace ollamafs::test
