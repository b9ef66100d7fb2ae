#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <system_error>
#include <unordered_map>
#include <utility>

#include "fs/serve/health.h"
#include "fs/serve/pins.h"
#include "fs/tree/node_table.h"
#include "store/blobs/blob_pool.h"
#include "store/layout/open_layout.h"

namespace ollamafs {

// A file that is open: what it was when it was opened, to its last close.
struct OpenFile {
  OpenFile(NodeTable::Pin file, std::shared_ptr<const OpenLayout> layout, Pins::Use blob)
      : pin{std::move(file)}, use{std::move(blob)}, content{std::move(layout)} {}

  NodeTable::Pin pin;
  Pins::Use use;
  Caching caching = Caching::keep;
  std::shared_ptr<const OpenLayout> content;
  std::atomic<std::uint64_t> next = 0;  // where a reader who goes straight on will read
};

// The contents of the files that are open: what is opened many times is put together once. Safe to
// use from several threads.
class OpenFiles {
 public:
  // Both must outlive this.
  OpenFiles(BlobPool& pool, Health& health) : pool_{pool}, health_{health} {}

  // What a file of the view consists of, open. `ec` as of Health::failed().
  [[nodiscard]] std::shared_ptr<const OpenLayout> content_of(const NodeRef& file,
                                                             std::error_code& ec);

  // Reads into `out` what the file has from `offset` on, up to `size` bytes; fewer only at its end.
  // Returns how many. A range that cannot be had in full is an error as a whole, and what is in
  // `out` then is for nobody. BlobFault::unverified: it holds a blob's last byte, and much of that
  // blob must be hashed first: verify_on() as long as it returns true, then again.
  [[nodiscard]] std::size_t read(const OpenFile& file, char* out, std::size_t size,
                                 std::uint64_t offset, std::error_code& ec);

  // Does a part of that, some milliseconds long. False: there is no more to do, or an error.
  bool verify_on(const OpenLayout& content, std::size_t size, std::uint64_t offset,
                 std::error_code& ec);

  // How many bytes read() has given away.
  [[nodiscard]] std::uint64_t bytes_read() const noexcept { return bytes_read_; }

  // To be called for each range that is read. How many bytes behind it the reader, who reads
  // straight on, should find in memory: for OpenLayout::prefetch, 0: none.
  [[nodiscard]] static std::uint64_t ahead_of(OpenFile& file, std::size_t size,
                                              std::uint64_t offset) noexcept;

 private:
  [[nodiscard]] std::shared_ptr<const OpenLayout> known(const NodeRef& file);

  BlobPool& pool_;
  Health& health_;
  std::atomic<std::uint64_t> bytes_read_ = 0;
  std::mutex mutex_;
  std::unordered_map<InodeNumber, std::weak_ptr<const OpenLayout>> contents_;
};

}  // namespace ollamafs
