#include "store/upkeep/blob_folder.h"

#include <algorithm>
#include <cerrno>
#include <string_view>
#include <system_error>
#include <utility>

#include "store/base/dir_stream.h"
#include "store/blobs/blob.h"

namespace ollamafs {
namespace {

constexpr const char* kFolder = "blobs";

[[noreturn]] void refuse_listing(const StoreDir& store, const std::string& path,
                                 const std::error_code& ec) {
  throw std::system_error{ec, (store.path() / path).string()};
}

std::vector<std::string> names_in(const StoreDir& store, StoreDir::Opened folder) {
  std::vector<std::string> names;
  std::error_code ec;
  for_each_dir_entry(store.calls(), std::move(folder.fd), ec,
                     [&](const dirent& entry) { names.emplace_back(entry.d_name); });
  if (ec) refuse_listing(store, kFolder, ec);
  std::ranges::sort(names);
  return names;
}

bool all_digits(std::string_view text) noexcept {
  return !text.empty() && std::ranges::all_of(text, [](char c) { return c >= '0' && c <= '9'; });
}

// "sha256-HEX-partial", "sha256-HEX-partial-N", "sha256-HEX.tmp" of a pull; "sha256-DIGITS" of a
// create; and of an import.
bool is_partial(std::string_view name) noexcept {
  if (name.starts_with(kTemporaryPrefix)) return true;
  constexpr std::size_t digest_size = sizeof "sha256-" - 1 + 2 * Digest::kBytes;
  constexpr std::string_view partial = "-partial";
  if (name.size() > digest_size && Digest::parse(name.substr(0, digest_size))) {
    const std::string_view rest = name.substr(digest_size);
    return rest == ".tmp" || rest == partial ||
           (rest.starts_with(partial) && rest[partial.size()] == '-' &&
            all_digits(rest.substr(partial.size() + 1)));
  }
  return name.starts_with("sha256-") && all_digits(name.substr(sizeof "sha256-" - 1));
}

void classify(BlobEntry& entry) {
  const bool is_file = S_ISREG(entry.st.st_mode) || S_ISLNK(entry.st.st_mode);
  if (S_ISDIR(entry.st.st_mode)) {
    entry.kind = BlobEntryKind::folder;
  } else if (const auto digest = Digest::parse(entry.name); digest && is_file) {
    entry.kind = BlobEntryKind::blob;
    entry.digest = digest;
  } else if (is_file && is_partial(entry.name)) {
    entry.kind = BlobEntryKind::partial;
  }
}

}  // namespace

std::vector<BlobEntry> list_blob_folder(const StoreDir& store) {
  std::error_code ec;
  StoreDir::Opened folder = store.open_directory(kFolder, ec);
  if (ec == std::errc::no_such_file_or_directory) return {};
  if (ec) refuse_listing(store, kFolder, ec);
  std::vector<BlobEntry> entries;
  for (std::string& name : names_in(store, std::move(folder))) {
    BlobEntry entry;
    entry.name = std::move(name);
    const StoreDir::Opened opened = store.resolve_entry(entry.path(), ec);
    if (!ec && store.calls().fstat(opened.fd.get(), entry.st) != 0) {
      ec = {errno, std::generic_category()};
    }
    if (ec == std::errc::no_such_file_or_directory) continue;
    if (ec) refuse_listing(store, entry.path(), ec);
    classify(entry);
    entries.push_back(std::move(entry));
  }
  return entries;
}

std::uint64_t held_bytes(const struct stat& st) noexcept {
  if (!S_ISREG(st.st_mode)) return 0;
  const auto size = static_cast<std::uint64_t>(st.st_size);
  constexpr std::uint64_t inlined = 4096;  // file systems may keep such files without any block
  if (size <= inlined) return size;
  return std::min(size, static_cast<std::uint64_t>(st.st_blocks) * 512);
}

}  // namespace ollamafs
