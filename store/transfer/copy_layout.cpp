#include "store/transfer/copy_layout.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string_view>
#include <vector>

#include "store/folder/read_file.h"
#include "store/transfer/transfer_error.h"

namespace ollamafs {
namespace {

constexpr std::uint64_t kCopyPiece = 1 << 20;    // at a time, straight from file to file
constexpr std::uint64_t kBuffered = 256u << 10;  // at a time, where it goes through a buffer

void refuse_if(const std::optional<OpenLayout::Failure>& failure) {
  if (failure) throw_blob_failure(failure->blob, failure->error);
}

void refuse_changed(const OpenLayout& file) {
  for (const OpenLayout::Failure& failure : file.check()) refuse_if(failure);
}

// One segment after the other, each from where it is to begin.
class Copier {
 public:
  Copier(const OpenLayout& file, ByteSink& sink, Progress& progress)
      : file_{file}, sink_{sink}, progress_{progress} {}

  void copy(const Segment& segment, std::uint64_t at) {
    if (segment.is_generated()) {
      copy_generated(segment, at);
    } else {
      copy_blob(segment, at);
    }
  }

 private:
  void copy_generated(const Segment& segment, std::uint64_t at) {
    if (segment.end() == file_.layout().size()) refuse_changed(file_);
    sink_.write(file_.layout().generated().substr(segment.source + at, segment.size - at));
    progress_.add(segment.size - at);
  }

  void copy_blob(const Segment& segment, std::uint64_t at) {
    const OpenBlob& blob = *file_.blobs()[segment.blob];
    progress_.next(blob.digest().blob_name());
    at += send(blob, segment, at);
    while (at < segment.size) at += copy_piece(segment, at);
    if (const auto error = blob.check()) throw_blob_failure(blob.digest(), error);
  }

  // Returns how much could be sent.
  std::uint64_t send(const OpenBlob& blob, const Segment& segment, std::uint64_t at) {
    const std::uint64_t from = at;
    while (blob.descriptor() >= 0 && at < segment.size) {
      const std::uint64_t sent = sink_.send(blob.descriptor(), segment.source + at,
                                            std::min(kCopyPiece, segment.size - at));
      if (sent == 0) break;
      at += sent;
      progress_.add(sent);
    }
    return at - from;
  }

  std::uint64_t copy_piece(const Segment& segment, std::uint64_t at) {
    buffer_.resize(kBuffered);
    const std::uint64_t size = std::min(kBuffered, segment.size - at);
    refuse_if(file_.read(buffer_.data(), size, segment.start + at));
    sink_.write({buffer_.data(), size});
    progress_.add(size);
    return size;
  }

  const OpenLayout& file_;
  ByteSink& sink_;
  Progress& progress_;
  std::vector<char> buffer_;
};

// Fills the buffer as far as the file goes.
std::size_t read_there(int fd, std::vector<char>& buffer, std::uint64_t offset) {
  std::size_t done = 0;
  while (done < buffer.size()) {
    const ssize_t got =
        ::pread(fd, buffer.data() + done, buffer.size() - done, static_cast<off_t>(offset + done));
    if (got == 0 || (got < 0 && errno != EINTR)) break;  // what cannot be read is written again
    if (got > 0) done += static_cast<std::size_t>(got);
  }
  return done;
}

}  // namespace

void copy_layout(const OpenLayout& file, std::uint64_t from, ByteSink& sink, Progress& progress) {
  Copier copier{file, sink, progress};
  file.layout().for_each_in(
      from, file.layout().size(),
      [&](const Segment& segment, std::uint64_t at, std::uint64_t) { copier.copy(segment, at); });
}

std::uint64_t common_beginning(const OpenLayout& file, int fd, Progress& progress) {
  std::vector<char> there(kCopyPiece), wanted(kCopyPiece);
  const std::uint64_t size = file.layout().size();
  std::uint64_t common = 0;
  while (common < size) {
    const std::size_t got = read_there(fd, there, common);
    const std::size_t compared = std::min<std::uint64_t>(got, size - common);
    refuse_if(file.read(wanted.data(), compared, common));
    if (std::memcmp(there.data(), wanted.data(), compared) != 0) break;
    common += compared;
    progress.add(compared);
    if (compared < kCopyPiece) break;
  }
  return common;
}

bool begins_as(const OpenLayout& file, int fd) {
  std::vector<char> there(512);
  const std::size_t got = read_there(fd, there, 0);
  std::vector<char> wanted(std::min<std::uint64_t>(got, file.layout().size()));
  refuse_if(file.read(wanted.data(), wanted.size(), 0));
  return std::memcmp(there.data(), wanted.data(), wanted.size()) == 0;
}

void throw_blob_failure(const Digest& blob, const std::error_code& error) {
  // What OpenBlob says of a file that is shorter, or another one, or gone; and of a disk's error.
  const std::string why = error == std::errc::io_error
                              ? "changed while it was read, or its disk failed"
                              : "cannot be read: " + error.message();
  throw TransferError{
      is_shortage(error) ? TransferError::Kind::failed : TransferError::Kind::broken,
      fmt::format("the blob {} {}\n`ollamafs list` says what the store has now; run it again then",
                  blob.blob_name(), why)};
}

}  // namespace ollamafs
