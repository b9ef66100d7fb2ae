#include "tests/support/archive_maker.h"

#include <archive.h>
#include <archive_entry.h>

#include <algorithm>
#include <memory>
#include <stdexcept>

#include "store/model/digest.h"
#include "tests/support/store_builder.h"

namespace ollamafs::test {
namespace {

namespace fs = std::filesystem;

void check(archive* a, int status) {
  if (status < ARCHIVE_WARN) throw std::runtime_error{archive_error_string(a)};
}

void describe(archive_entry* entry, const Packed& member) {
  archive_entry_set_pathname(entry, member.path.c_str());
  archive_entry_set_mode(entry, 0644);
  archive_entry_set_mtime(entry, 1'700'000'000, 0);
  switch (member.type) {
    case Packed::Type::file:
      archive_entry_set_filetype(entry, AE_IFREG);
      archive_entry_set_size(entry, static_cast<la_int64_t>(member.bytes.size()));
      break;
    case Packed::Type::directory:
      archive_entry_set_filetype(entry, AE_IFDIR);
      break;
    case Packed::Type::symlink:
      archive_entry_set_filetype(entry, AE_IFLNK);
      archive_entry_set_symlink(entry, member.bytes.c_str());
      break;
    case Packed::Type::hardlink:
      archive_entry_set_filetype(entry, AE_IFREG);
      archive_entry_set_hardlink(entry, member.bytes.c_str());
      break;
    case Packed::Type::device:
      archive_entry_set_filetype(entry, AE_IFCHR);
      archive_entry_set_rdevmajor(entry, 1);
      archive_entry_set_rdevminor(entry, 5);
      break;
    case Packed::Type::fifo:
      archive_entry_set_filetype(entry, AE_IFIFO);
      break;
  }
}

la_ssize_t append(archive*, void* out, const void* bytes, std::size_t size) {
  static_cast<std::string*>(out)->append(static_cast<const char*>(bytes), size);
  return static_cast<la_ssize_t>(size);
}

}  // namespace

std::string make_archive(const std::vector<Packed>& members, const std::string& format,
                         const std::string& filter) {
  std::string out;
  const std::unique_ptr<archive, int (*)(archive*)> writer{archive_write_new(), archive_write_free};
  archive* const a = writer.get();
  check(a, archive_write_set_format_by_name(a, format.c_str()));
  if (filter != "none") check(a, archive_write_add_filter_by_name(a, filter.c_str()));
  check(a, archive_write_set_bytes_in_last_block(a, 1));
  check(a, archive_write_open(a, &out, nullptr, &append, nullptr));
  for (const Packed& member : members) {
    const std::unique_ptr<archive_entry, void (*)(archive_entry*)> entry{archive_entry_new(),
                                                                         archive_entry_free};
    describe(entry.get(), member);
    check(a, archive_write_header(a, entry.get()));
    if (member.type != Packed::Type::file) continue;
    for (std::size_t at = 0; at < member.bytes.size();) {
      const la_ssize_t n =
          archive_write_data(a, member.bytes.data() + at, member.bytes.size() - at);
      if (n <= 0) throw std::runtime_error{archive_error_string(a)};
      at += static_cast<std::size_t>(n);
    }
  }
  check(a, archive_write_close(a));
  return out;
}

std::vector<Packed> pack_directory(const fs::path& directory, const std::string& prefix) {
  std::vector<Packed> members;
  for (const auto& entry : fs::recursive_directory_iterator{directory}) {
    const std::string path = prefix + entry.path().lexically_relative(directory).string();
    if (entry.is_symlink()) {
      members.push_back({path, fs::read_symlink(entry.path()).string(), Packed::Type::symlink});
    } else if (entry.is_regular_file()) {
      members.push_back({path, read_file(entry.path())});
    }
  }
  std::ranges::sort(members, {}, &Packed::path);
  return members;
}

DirectoryContent content_of(const fs::path& directory) {
  DirectoryContent content;
  if (!fs::exists(directory)) return content;
  for (const auto& entry : fs::recursive_directory_iterator{directory}) {
    std::string& what = content[entry.path().lexically_relative(directory).string()];
    if (entry.is_symlink()) {
      what = "l" + fs::read_symlink(entry.path()).string();
    } else {
      what = entry.is_directory() ? "d" : "f" + read_file(entry.path());
    }
  }
  return content;
}

std::vector<std::string> forbidden_changes(const DirectoryContent& before,
                                           const DirectoryContent& after) {
  std::vector<std::string> forbidden;
  for (const auto& [path, what] : before) {
    const auto now = after.find(path);
    if (now == after.end()) {
      forbidden.push_back("gone: " + path);
    } else if (now->second != what && what.starts_with('f') && path.starts_with("blobs/")) {
      // A damaged blob may have been mended.
      if ("blobs/" + Digest::of(now->second.substr(1)).blob_name() != path) {
        forbidden.push_back("changed: " + path);
      }
    } else if (now->second != what) {
      forbidden.push_back("changed: " + path);
    }
  }
  for (const auto& [path, what] : after) {
    if (before.contains(path) || path == "blobs") continue;
    const bool is_right_blob =
        what.starts_with('f') && path == Digest::of(what.substr(1)).blob_path();
    if (!is_right_blob) forbidden.push_back("new: " + path);
  }
  return forbidden;
}

}  // namespace ollamafs::test
