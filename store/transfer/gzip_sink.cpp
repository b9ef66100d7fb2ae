#include "store/transfer/gzip_sink.h"

#include <archive.h>
#include <archive_entry.h>

#include <exception>
#include <new>
#include <stdexcept>
#include <string>

namespace ollamafs {

// libarchive calls back, through C: an exception waits here until it has returned.
struct GzipSink::Output {
  ByteSink& sink;
  std::exception_ptr error{};

  static la_ssize_t write(archive* /*writer*/, void* self, const void* bytes, std::size_t size) {
    auto& output = *static_cast<Output*>(self);
    if (output.error) return -1;
    try {
      output.sink.write({static_cast<const char*>(bytes), size});
    } catch (...) {
      output.error = std::current_exception();
      return -1;
    }
    return static_cast<la_ssize_t>(size);
  }
};

// The "raw" format is no archive: the bytes of one entry, here compressed.
GzipSink::GzipSink(ByteSink& out)
    : output_{std::make_unique<Output>(Output{out})}, writer_{archive_write_new()} {
  if (!writer_) throw std::bad_alloc{};
  try {
    check(archive_write_set_format_raw(writer_));
    check(archive_write_add_filter_gzip(writer_));
    // Without the time of day, the same bytes make the same file.
    check(archive_write_set_filter_option(writer_, "gzip", "timestamp", nullptr));
    check(archive_write_set_bytes_per_block(writer_, 64 << 10));
    check(archive_write_set_bytes_in_last_block(writer_, 1));
    check(archive_write_open(writer_, output_.get(), nullptr, &Output::write, nullptr));
    const std::unique_ptr<archive_entry, decltype(&archive_entry_free)> entry{archive_entry_new(),
                                                                              &archive_entry_free};
    if (!entry) throw std::bad_alloc{};
    archive_entry_set_filetype(entry.get(), AE_IFREG);
    check(archive_write_header(writer_, entry.get()));
  } catch (...) {
    archive_write_free(writer_);
    throw;
  }
}

GzipSink::~GzipSink() {
  // Freeing it writes the end, which would make of what was broken off a file that looks whole: so
  // nothing more gets out. (After archive_write_fail(3) zlib's memory would be lost.)
  if (!output_->error) output_->error = std::make_exception_ptr(std::runtime_error{"broken off"});
  archive_write_free(writer_);
}

void GzipSink::write(std::string_view bytes) {
  while (!bytes.empty()) {
    const la_ssize_t taken = archive_write_data(writer_, bytes.data(), bytes.size());
    check(taken);
    bytes.remove_prefix(static_cast<std::size_t>(taken));
  }
}

void GzipSink::finish() {
  check(archive_write_close(writer_));
}

void GzipSink::check(long long status) {
  if (output_->error) std::rethrow_exception(output_->error);
  if (status >= ARCHIVE_OK || status == ARCHIVE_WARN) return;
  const char* reason = archive_error_string(writer_);
  throw std::runtime_error{std::string{"gzip: "} + (reason ? reason : "libarchive refuses")};
}

}  // namespace ollamafs
