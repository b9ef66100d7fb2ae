#include "fs/kernel/read_reply.h"

#include <memory>
#include <system_error>

#include "fs/kernel/serve.h"
#include "store/blobs/blob_fault.h"

namespace ollamafs {
namespace {

// What one thread reads into before it replies. It is kept, because the pages of a fresh one would
// have to be found for every reply. It never gets larger than the largest request, of which the
// kernel makes none above kLargestWrite.
class ReadBuffer {
 public:
  // Room for `size` bytes, until the next call. Throws std::bad_alloc, and works again later.
  [[nodiscard]] char* room_for(std::size_t size) {
    if (size > size_) {
      size_ = 0;
      room_.reset();  // first: never two of them
      room_ = std::make_unique_for_overwrite<char[]>(size);
      size_ = size;
    }
    return room_.get();
  }

 private:
  std::unique_ptr<char[]> room_;
  std::size_t size_ = 0;  // of room_, bytes
};

// Replies, or returns why not.
std::error_code reply_range(fuse_req_t req, FileSystem& fs, OpenFile& file, std::size_t size,
                            std::uint64_t offset) {
  thread_local ReadBuffer buffer;
  char* const bytes = buffer.room_for(size);
  std::error_code ec;
  const std::size_t count = fs.files().read(file, bytes, size, offset, ec);
  if (ec) return ec;
  const std::uint64_t ahead = OpenFiles::ahead_of(file, count, offset);
  // The file may be closed by another thread as soon as the reply is sent: not its content.
  const auto content = file.content;
  fuse_reply_buf(req, bytes, count);
  if (ahead > 0) content->prefetch(offset + count, ahead);
  return {};
}

// One part of what must be done before a range can be given away, or the answer. True: there is
// more.
bool verify_on(fuse_req_t req, OpenFile& file, std::size_t size, std::uint64_t offset,
               bool over) noexcept {
  bool more = false;
  serve(req, file.pin.ref(), [&](FileSystem& fs) -> std::error_code {
    if (over) return std::make_error_code(std::errc::not_connected);
    if (fuse_req_interrupted(req)) return std::make_error_code(std::errc::interrupted);
    std::error_code ec;
    more = fs.files().verify_on(*file.content, size, offset, ec);
    return more || ec ? ec : reply_range(req, fs, file, size, offset);
  });
  return more;
}

}  // namespace

void reply_read(fuse_req_t req, OpenFile& file, std::size_t size, std::uint64_t offset) noexcept {
  serve(req, file.pin.ref(), [&](FileSystem& fs) -> std::error_code {
    const auto ec = reply_range(req, fs, file, size, offset);
    if (ec != BlobFault::unverified) return ec;
    driver(req).verifications.add(
        [req, &file, size, offset](bool over) { return verify_on(req, file, size, offset, over); });
    return {};
  });
}

}  // namespace ollamafs
