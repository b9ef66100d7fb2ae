#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "store/catalog/tag_tree.h"
#include "store/model/digest.h"
#include "store/model/model_name.h"

namespace ollamafs {

// A file of a source that belongs to a store.
struct Member {
  enum class Kind : std::uint8_t {
    blob,      // its bytes should be those of `digest`
    manifest,  // its bytes are the manifest of the tag `name`
    link,      // the tag `name` has for its manifest the blob `digest`; there are no bytes
  };

  Kind kind = Kind::blob;
  std::string path;  // as the source has it: any bytes
  std::optional<Digest> digest{};
  std::optional<ModelName> name{};  // of a manifest: none where the source does not tell
  TreeKind tree = TreeKind::v1;
  std::optional<std::uint64_t> size{};  // bytes, as the source says before they are read
  std::optional<Digest> same_as{};      // of a blob that is stored once: a link to an earlier one
  std::optional<std::int64_t> made_for{};  // content_time() of what the manifest should be
};

// Where models come from: an archive, a folder, a pipe. Its members are read one after the other.
// Nothing that it says is believed. All of it throws TransferError, which names the member, and
// what reading throws.
class ImportSource {
 public:
  virtual ~ImportSource() = default;

  // For messages: printable.
  [[nodiscard]] virtual const std::string& shown() const noexcept = 0;

  // Whether it costs little to go through the members without reading their bytes, and rewind()
  // works. Otherwise there is one pass.
  [[nodiscard]] virtual bool is_quick() const noexcept = 0;
  virtual void rewind() = 0;

  // The next member of a store; others are passed over. Nothing: that was all, and the source is
  // not cut short.
  [[nodiscard]] virtual std::optional<Member> next() = 0;

  // The next bytes of the member: as many as fit, fewer only at its end.
  [[nodiscard]] virtual std::size_t read(char* out, std::size_t size) = 0;
};

}  // namespace ollamafs
