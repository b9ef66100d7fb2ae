#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "store/model/digest.h"

namespace ollamafs {

// What is wrong, for programs; people get a text.
enum class ProblemKind : std::uint8_t {
  // What a path or a digest leads to.
  missing,     // nothing
  not_a_file,  // no regular file, or symlinks that go round in a circle
  outside,     // a symlink that leads out of the store and is not followed
  unreadable,  // permissions, the disk, ...
  damaged,     // bytes that have another SHA-256 than their name says
  wrong_size,  // a file that has another size than the manifest says
  // What a manifest says.
  bad_manifest,  // it is none, or a list in a list
  bad_digest,    // it names a blob by something that is no SHA-256 digest
  bad_size,      // sizes that cannot be: negative, two of one blob, more than a file can have
  no_child,      // none of the manifests of its list is in the store
  in_doubt,      // another manifest may count, in what cannot be read
  // What a tree of manifests holds.
  stray_file,    // a file where a folder belongs
  nested,        // a models folder in the models folder
  directory,     // a folder where a manifest belongs
  bad_name,      // a name outside Ollama's grammar (docs/store-format.md §2)
  foreign_link,  // a symlink to something else than the manifest's own blob (docs/store-format.md
                 // §3.2)
  unlistable,    // a folder that cannot be listed
  // Names.
  hidden,       // another tag stands for the same name
  passed_over,  // a v2 tag that leads nowhere, where the v1 tree has one
  renamed,      // shown under its full name, because another spelling has the short one
  unshowable,   // a part of its name is longer than a file's name may be
  // To be known.
  followed,  // a symlink that leads out of the store and is followed
};

// "wrong-size" and so on, for JSON.
[[nodiscard]] std::string_view to_string(ProblemKind kind) noexcept;

// What kind of problem it is that a file of the store could not be had: of an error of StoreDir.
[[nodiscard]] ProblemKind problem_kind(const std::error_code& ec) noexcept;

// Why a model is broken.
struct Fault {
  ProblemKind kind;
  std::optional<Digest> digest;  // of the blob that it is about, if it is about one
  std::string text;              // one printable line: "blob sha256-... is missing"

  bool operator==(const Fault&) const = default;
};

using Faults = std::vector<Fault>;

// Something in the store that is no part of a model, and why. Models that are broken are not
// problems of the store: they say themselves what they lack (Model::faults).
struct Problem {
  ProblemKind kind;
  std::optional<Digest> digest;  // of the blob that it is about, if it is about one
  std::string path;              // relative to the store; any bytes, see printable()
  std::string text;  // one printable line that goes on from the path: "is not a model name: …"

  bool operator==(const Problem&) const = default;
};

}  // namespace ollamafs
