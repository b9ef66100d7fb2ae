#pragma once

#include <cstdint>
#include <system_error>
#include <type_traits>

namespace ollamafs {

// What is wrong with a blob that is verified while it is read, beside what the kernel says. To who
// asks for no more than an errno, all of it is EIO.
enum class BlobFault : std::uint8_t {
  wrong_digest = 1,  // its bytes have another SHA-256 than its name says
  changed,           // its file was written, touched or replaced since it was opened
  unverified,        // no fault: so much of it is still to be hashed that it is not done in passing
};

[[nodiscard]] const std::error_category& blob_fault_category() noexcept;

[[nodiscard]] inline std::error_code make_error_code(BlobFault fault) noexcept {
  return {static_cast<int>(fault), blob_fault_category()};
}

}  // namespace ollamafs

template <>
struct std::is_error_code_enum<ollamafs::BlobFault> : std::true_type {};
