#include "store/blobs/blob_fault.h"

#include <string>

namespace ollamafs {
namespace {

class Category final : public std::error_category {
 public:
  [[nodiscard]] const char* name() const noexcept override { return "blob"; }

  [[nodiscard]] std::string message(int value) const override {
    switch (static_cast<BlobFault>(value)) {
      case BlobFault::wrong_digest:
        return "its SHA-256 is not the one in its name";
      case BlobFault::changed:
        return "its file was changed or replaced while it was read";
      case BlobFault::unverified:
        return "its SHA-256 is not known yet";
    }
    return "unknown fault";
  }

  [[nodiscard]] std::error_condition default_error_condition(int) const noexcept override {
    return std::errc::io_error;
  }
};

}  // namespace

const std::error_category& blob_fault_category() noexcept {
  static const Category category;
  return category;
}

}  // namespace ollamafs
