#include "fs/kernel/read_reply.h"

#include <cerrno>
#include <system_error>

#include "fs/kernel/serve.h"
#include "store/blobs/blob_fault.h"

namespace ollamafs {
namespace {

// Replies, or returns why not.
std::error_code reply_range(fuse_req_t req, FileSystem& fs, OpenFile& file, std::size_t size,
                            std::uint64_t offset) {
  thread_local Gathered bytes;
  std::error_code ec;
  fs.files().gather(file, bytes, size, offset, ec);
  if (ec) {
    bytes.release();
    return ec;
  }
  // The file may be closed by another thread as soon as the reply is sent: not what it holds.
  const auto content = file.content;
  const NodeRef node = file.pin.ref();
  const pid_t process = file.opened_by;
  const std::uint64_t ahead = OpenFiles::ahead_of(file, bytes.size(), offset);
  const auto pieces = bytes.pieces();
  // EFAULT: a page could not be had, since the disk fails there or the blob was cut short a moment
  // ago. The kernel has made it EIO.
  if (fuse_reply_iov(req, pieces.data(), static_cast<int>(pieces.size())) == -EFAULT) {
    fs.request_failed(node, process, EIO);  // first: the tool knows already
    fs.files().find_fault(*content, bytes.size(), offset);
  } else if (ahead > 0) {
    content->prefetch(offset + bytes.size(), ahead);
  }
  bytes.release();
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
