#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "store/base/progress.h"
#include "store/base/write_calls.h"

namespace ollamafs {

// Takes a file's bytes, from front to back. Throws TransferError where they cannot be written.
class ByteSink {
 public:
  virtual ~ByteSink() = default;

  // All of `bytes`.
  virtual void write(std::string_view bytes) = 0;

  // Takes bytes of the file `fd` from `offset` on, at most `size`, without a buffer of ours.
  // Returns how many; 0 if it cannot: then they have to be read, and written.
  [[nodiscard]] virtual std::uint64_t send(int /*fd*/, std::uint64_t /*offset*/,
                                           std::uint64_t /*size*/) {
    return 0;
  }
};

// Writes to a descriptor: a file from where it stands, a pipe, a socket. Waits for a reader that is
// slow, also where the descriptor was told not to wait.
class DescriptorSink final : public ByteSink {
 public:
  // `name` is printable. What is given must outlive this.
  DescriptorSink(int fd, std::string name, const WriteCalls& calls, Progress& progress);

  void write(std::string_view bytes) override;
  [[nodiscard]] std::uint64_t send(int fd, std::uint64_t offset, std::uint64_t size) override;

 private:
  [[nodiscard]] bool may_go_on(int error);

  const int fd_;
  const std::string name_;
  const WriteCalls& calls_;
  Progress& progress_;
};

// Throws TransferError that says why the file `name` could not be written; `error` is an errno.
[[noreturn]] void throw_write_failure(const std::string& name, int error);

}  // namespace ollamafs
