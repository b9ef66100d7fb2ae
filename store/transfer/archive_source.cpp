#include "store/transfer/archive_source.h"

#include <archive.h>
#include <archive_entry.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <exception>
#include <numeric>
#include <string>
#include <utility>

#include "store/base/progress.h"
#include "store/base/text.h"
#include "store/model/manifest.h"
#include "store/transfer/member_path.h"
#include "store/transfer/stray_names.h"
#include "store/transfer/transfer_error.h"

namespace ollamafs {
namespace {

enum class Packing { tar, compressed, zip, none };

// A header's sum, as old tars without a magic have it too.
bool is_tar_header(std::string_view block) {
  constexpr unsigned at = 148, size = 8;
  if (block.size() < kArchiveBeginning) return false;
  const auto sum_of = [](std::string_view bytes) {
    return std::accumulate(bytes.begin(), bytes.end(), 0u, [](unsigned sum, char c) {
      return sum + static_cast<unsigned char>(c);
    });
  };
  const unsigned sum =
      sum_of(block.substr(0, at)) + size * ' ' + sum_of(block.substr(at + size, 512 - at - size));
  unsigned written = 0;
  bool any = false;
  for (const char c : block.substr(at, size)) {
    if (c >= '0' && c <= '7') {
      written = written * 8 + static_cast<unsigned>(c - '0');
      any = true;
    } else if (any) {
      break;
    }
  }
  return any && written == sum;
}

Packing packing_of(std::string_view beginning) {
  using namespace std::string_view_literals;
  if (beginning.starts_with("PK\3\4"sv) || beginning.starts_with("PK\5\6"sv)) return Packing::zip;
  for (const auto magic : {"\x1f\x8b"sv, "\x28\xb5\x2f\xfd"sv, "\xfd\x37zXZ\0"sv, "BZh"sv}) {
    if (beginning.starts_with(magic)) return Packing::compressed;
  }
  // A frame of zstd that says nothing, as a seek table.
  if (beginning.size() >= 4 && (beginning[0] & '\xf0') == '\x50' &&
      beginning.substr(1, 3) == "\x2a\x4d\x18"sv) {
    return Packing::compressed;
  }
  return is_tar_header(beginning) ? Packing::tar : Packing::none;
}

struct FreeArchive {
  void operator()(archive* a) const noexcept { ::archive_read_free(a); }
};
using Reader = std::unique_ptr<archive, FreeArchive>;

// What libarchive reads from. It is C: no exception may pass through it.
class Input {
 public:
  explicit Input(ByteStream stream) : stream_{std::move(stream)} {}

  [[nodiscard]] ByteStream& stream() noexcept { return stream_; }
  [[nodiscard]] bool is_seekable() const noexcept { return stream_.is_seekable(); }
  [[nodiscard]] bool ended() const noexcept { return ended_; }

  // What went wrong in a callback is thrown here, behind libarchive.
  void rethrow() {
    if (failure_) std::rethrow_exception(std::exchange(failure_, nullptr));
  }

  void rewind() {
    stream_.seek(0);
    position_ = 0;
    ended_ = false;
  }

  // Of the packed bytes.
  static la_ssize_t read_packed(archive* reader, void* self, const void** bytes) {
    return static_cast<Input*>(self)->guarded(reader, [&](Input& input) {
      const auto some = input.stream_.read();
      input.position_ += some.size();
      if (some.empty() && !input.unpacker_) input.ended_ = true;
      *bytes = some.data();
      return static_cast<la_ssize_t>(some.size());
    });
  }

  // Of what comes out of the reader that unpacks.
  static la_ssize_t read_unpacked(archive* reader, void* self, const void** bytes) {
    return static_cast<Input*>(self)->guarded(reader, [&](Input& input) -> la_ssize_t {
      std::size_t size = 0;
      la_int64_t offset = 0;
      int status = ARCHIVE_OK;
      do {
        status = ::archive_read_data_block(input.unpacker_.get(), bytes, &size, &offset);
      } while (status == ARCHIVE_OK && size == 0);
      if (status == ARCHIVE_EOF) {
        input.ended_ = true;
        return 0;
      }
      if (status == ARCHIVE_OK) return static_cast<la_ssize_t>(size);
      ::archive_set_error(reader, EIO, "%s", ::archive_error_string(input.unpacker_.get()));
      return ARCHIVE_FATAL;
    });
  }

  static la_int64_t skip(archive* reader, void* self, la_int64_t request) {
    return static_cast<Input*>(self)->guarded(reader, [&](Input& input) {
      const std::uint64_t left = input.stream_.size() - input.position_;
      const auto step = static_cast<la_int64_t>(
          std::min<std::uint64_t>(left, static_cast<std::uint64_t>(request)));
      input.move_to(input.position_ + static_cast<std::uint64_t>(step));
      return step;
    });
  }

  static la_int64_t seek(archive* reader, void* self, la_int64_t offset, int whence) {
    return static_cast<Input*>(self)->guarded(reader, [&](Input& input) -> la_int64_t {
      const auto size = static_cast<la_int64_t>(input.stream_.size());
      const la_int64_t from = whence == SEEK_END   ? size
                              : whence == SEEK_CUR ? static_cast<la_int64_t>(input.position_)
                                                   : 0;
      const la_int64_t to = std::clamp<la_int64_t>(from + offset, 0, size);
      input.move_to(static_cast<std::uint64_t>(to));
      return to;
    });
  }

  // What the decompressor complained of.
  [[nodiscard]] std::string complaint() const {
    const char* const text = unpacker_ ? ::archive_error_string(unpacker_.get()) : nullptr;
    return printable(text ? text : "unknown");
  }

  // Reads what is left. A compressed file has a checksum at its end, and whoever fills a pipe
  // should not find it closed. False if the rest is damaged.
  [[nodiscard]] bool drain() {
    if (unpacker_) {
      const void* bytes = nullptr;
      std::size_t size = 0;
      la_int64_t offset = 0;
      int status = ARCHIVE_OK;
      while (status == ARCHIVE_OK) {
        status = ::archive_read_data_block(unpacker_.get(), &bytes, &size, &offset);
      }
      rethrow();
      if (status != ARCHIVE_EOF) return false;
    }
    while (!stream_.read().empty()) {
    }
    return true;
  }

  // Makes the bytes go through the decompressor that they need.
  void unpack() {
    unpacker_ = Reader{::archive_read_new()};
    ::archive_read_support_filter_gzip(unpacker_.get());
    ::archive_read_support_filter_zstd(unpacker_.get());
    ::archive_read_support_filter_xz(unpacker_.get());
    ::archive_read_support_filter_bzip2(unpacker_.get());
    ::archive_read_support_format_raw(unpacker_.get());
    archive_entry* entry = nullptr;
    const bool is_open =
        ::archive_read_open(unpacker_.get(), this, nullptr, &read_packed, nullptr) == ARCHIVE_OK &&
        ::archive_read_next_header(unpacker_.get(), &entry) == ARCHIVE_OK;
    rethrow();
    if (!is_open) throw std::runtime_error{::archive_error_string(unpacker_.get())};
  }

 private:
  template <class Work>
  auto guarded(archive* reader, Work work) noexcept -> decltype(work(*this)) {
    try {
      return work(*this);
    } catch (...) {
      failure_ = std::current_exception();
      ::archive_set_error(reader, EIO, "the source cannot be read");
      return ARCHIVE_FATAL;
    }
  }

  void move_to(std::uint64_t position) {
    stream_.seek(position);
    position_ = position;
  }

  ByteStream stream_;
  Reader unpacker_;
  std::uint64_t position_ = 0;  // of what libarchive was given
  bool ended_ = false;          // libarchive wanted more than there is
  std::exception_ptr failure_;
};

class ArchiveSource final : public ImportSource {
 public:
  ArchiveSource(ByteStream stream, std::string shown)
      : input_{std::move(stream)},
        shown_{std::move(shown)},
        packing_{packing_of(input_.stream().peek(kArchiveBeginning))} {
    if (packing_ == Packing::none) {
      broken(input_.stream().peek(1).empty() ? "is empty" : "is no archive, neither tar nor zip");
    }
    open();
  }

  [[nodiscard]] const std::string& shown() const noexcept override { return shown_; }
  [[nodiscard]] bool is_quick() const noexcept override {
    return packing_ != Packing::compressed && input_.is_seekable();
  }

  void rewind() override {
    reader_.reset();
    input_.rewind();
    open();
  }

  [[nodiscard]] std::optional<Member> next() override {
    for (;;) {
      const int status = ::archive_read_next_header(reader_.get(), &entry_);
      input_.rethrow();
      if (status == ARCHIVE_EOF) {
        check_end();
        return std::nullopt;
      }
      if (status < ARCHIVE_WARN) {
        broken(path_.empty() ? fmt::format("cannot be read as an archive: {}", reason())
                             : fmt::format("cannot be read behind member {}: {}", printable(path_),
                                           reason()));
      }
      if (auto member = judge()) return member;
    }
  }

  [[nodiscard]] std::size_t read(char* out, std::size_t size) override {
    std::size_t done = 0;
    while (done < size) {
      const la_ssize_t n = ::archive_read_data(reader_.get(), out + done, size - done);
      input_.rethrow();
      if (n == 0) break;
      if (n < 0) refuse(fmt::format("is damaged: {}", reason()));
      done += static_cast<std::size_t>(n);
    }
    return done;
  }

 private:
  void open() try {
    const bool is_packed = packing_ == Packing::compressed;
    if (is_packed) input_.unpack();
    reader_ = Reader{::archive_read_new()};
    archive* const reader = reader_.get();
    if (packing_ == Packing::zip) {
      ::archive_read_support_format_zip(reader);
    } else {
      ::archive_read_support_format_tar(reader);
    }
    ::archive_read_set_callback_data(reader, &input_);
    ::archive_read_set_read_callback(reader,
                                     is_packed ? &Input::read_unpacked : &Input::read_packed);
    if (!is_packed && input_.is_seekable()) {
      ::archive_read_set_skip_callback(reader, &Input::skip);
      ::archive_read_set_seek_callback(reader, &Input::seek);
    }
    const int status = ::archive_read_open1(reader);
    input_.rethrow();
    if (status < ARCHIVE_WARN) broken(fmt::format("cannot be read as an archive: {}", reason()));
  } catch (const Interrupted&) {
    throw;
  } catch (const TransferError&) {
    throw;
  } catch (const std::system_error&) {
    throw;
  } catch (const std::runtime_error& error) {
    broken(fmt::format("cannot be unpacked: {}", printable(error.what())));
  }

  // The member under the reader, if it is one of a store. Whatever could be meant to reach another
  // place is refused, also where nothing would come of it here.
  [[nodiscard]] std::optional<Member> judge() {
    path_ = entry_path();
    if (leads_out(path_)) refuse("leads out of the folder in which it would be unpacked");
    if (has_stray_name(path_)) return std::nullopt;
    const MemberPath meaning = read_member_path(path_);
    Member member{
        .path = path_, .digest = meaning.blob, .name = meaning.model, .tree = meaning.tree};
    if (::archive_entry_size_is_set(entry_)) {
      member.size =
          static_cast<std::uint64_t>(std::max<la_int64_t>(0, ::archive_entry_size(entry_)));
    }
    if (const char* const target = ::archive_entry_hardlink(entry_)) {
      member.same_as = read_member_path(target).blob;
      if (!meaning.blob || member.same_as != meaning.blob) {
        refuse(fmt::format("is a hard link to {}; pack the files themselves", printable(target)));
      }
      return member;
    }
    switch (::archive_entry_filetype(entry_)) {
      case AE_IFREG:
        return regular(std::move(member));
      case AE_IFDIR:
        return std::nullopt;
      case AE_IFLNK:
        return link(std::move(member));
      default:
        refuse("is neither a file nor a directory");
    }
  }

  [[nodiscard]] std::optional<Member> regular(Member member) const {
    if (member.digest) return member;
    if (!member.name || is_shadow_tag(*member.name)) return std::nullopt;
    member.kind = Member::Kind::manifest;
    if (is_ours()) member.made_for = ::archive_entry_mtime(entry_);
    return member;
  }

  [[nodiscard]] std::optional<Member> link(Member member) const {
    const char* const target = ::archive_entry_symlink(entry_);
    if (member.name && member.tree == TreeKind::v2 && target) {
      member.digest = manifest_behind(target);
      member.kind = Member::Kind::link;
      if (member.digest) return member;
    }
    refuse(fmt::format("is a symlink to {}; pack the files themselves (tar -h)",
                       printable(target ? target : "nothing")));
  }

  // As store/layout/tar_header writes them: then the time is that of the content.
  [[nodiscard]] bool is_ours() const {
    const char* const user = ::archive_entry_uname(entry_);
    const char* const group = ::archive_entry_gname(entry_);
    return user && group && std::string_view{user} == "ollama" &&
           std::string_view{group} == "ollama" && ::archive_entry_uid(entry_) == 0 &&
           ::archive_entry_gid(entry_) == 0 && ::archive_entry_perm(entry_) == 0644;
  }

  // A locale may have no characters for a path.
  [[nodiscard]] std::string entry_path() const {
    if (const char* const path = ::archive_entry_pathname(entry_)) return path;
    if (const char* const path = ::archive_entry_pathname_utf8(entry_)) return path;
    return "?";
  }

  // An archive that was cut between two members looks like a shorter one, but for its end: two
  // blocks of zeros. A zip has its list of members there, which libarchive asks for.
  void check_end() {
    if (packing_ == Packing::zip) return;
    const bool has_mark = !input_.ended();
    if (!is_quick() && !input_.drain()) {
      broken(fmt::format("is damaged behind its last member, {}: {}", printable(path_),
                         input_.complaint()));
    }
    if (has_mark) return;
    broken(fmt::format("is cut short: it ends behind member {} without an end-of-archive mark",
                       printable(path_)));
  }

  [[nodiscard]] std::string reason() const {
    const char* const text = ::archive_error_string(reader_.get());
    return printable(text ? text : "unknown");
  }

  [[noreturn]] void broken(const std::string& why) const {
    throw TransferError{TransferError::Kind::broken, fmt::format("{} {}", shown_, why)};
  }

  [[noreturn]] void refuse(const std::string& why) const {
    broken(fmt::format("is refused: member {} {}", printable(path_), why));
  }

  Input input_;
  std::string shown_;
  Packing packing_;
  Reader reader_;
  archive_entry* entry_ = nullptr;
  std::string path_;  // of the last member
};

}  // namespace

bool is_archive(std::string_view beginning) noexcept {
  return packing_of(beginning) != Packing::none;
}

bool is_plain_tar(std::string_view beginning) noexcept {
  return packing_of(beginning) == Packing::tar;
}

std::unique_ptr<ImportSource> open_archive_source(ByteStream stream, std::string shown) {
  return std::make_unique<ArchiveSource>(std::move(stream), std::move(shown));
}

}  // namespace ollamafs
