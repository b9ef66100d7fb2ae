#include "store/tag_tree.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <stdexcept>
#include <string_view>
#include <system_error>

#include "store/digest.h"
#include "store/dir_stream.h"
#include "store/read_file.h"
#include "store/text.h"

namespace ollamafs {
namespace {

constexpr std::size_t kLevels = 4;  // host, namespace, model, tag

struct Entry {
  std::string name;
  unsigned char type;  // DT_DIR and so on, of a symlink itself (readdir(3))

  [[nodiscard]] bool may_be_directory() const noexcept {
    return type == DT_DIR || type == DT_LNK || type == DT_UNKNOWN;
  }
};

// The tag that GGUF conversion leaves in the v1 tree to keep the converted child from an older
// server's garbage collector (ollama-store.md §3.2).
bool is_shadow(const ModelName& name) {
  return name.is_public() && name.name_space() == ModelName::kDefaultNamespace &&
         name.model() == "llamacpp" && Digest::parse_hex(name.tag());
}

// Of a server that is writing a manifest, in either tree (§5).
bool is_temporary(std::string_view name) noexcept {
  return name.starts_with(".manifest-");
}

class Walk {
 public:
  Walk(const StoreDir& store, TreeKind kind, const std::function<void(int)>& on_directory,
       const StoreLimits& limits)
      : store_{store}, kind_{kind}, on_directory_{on_directory}, limits_{limits} {}

  TagListing run() && {
    const std::string root = tree_folder(kind_);
    std::error_code ec;
    (void)store_.resolve(root, ec);
    if (ec != std::errc::no_such_file_or_directory) descend(root, 0);
    std::ranges::sort(listing_.tags, {}, &Tag::path);
    return std::move(listing_);
  }

 private:
  void problem(const std::string& path, std::string reason) {
    listing_.problems.push_back({path, std::move(reason)});
  }

  std::vector<Entry> entries_of(UniqueFd directory, std::error_code& ec) {
    const DirStream dir{::fdopendir(directory.get())};
    if (!dir) {
      ec = {errno, std::generic_category()};
      return {};
    }
    (void)directory.release();
    std::vector<Entry> entries;
    errno = 0;
    while (const dirent* entry = store_.calls().readdir(dir.get())) {
      const std::string_view name = entry->d_name;
      if (name != "." && name != "..") {
        count_entry();
        entries.push_back({std::string{name}, entry->d_type});
      }
      errno = 0;
    }
    if (errno != 0) ec = {errno, std::generic_category()};
    std::ranges::sort(entries, {}, &Entry::name);
    return entries;
  }

  void count_entry() {
    if (++entries_ <= limits_.entries) return;
    throw std::length_error{
        fmt::format("{} has more than {} entries, the most that a store may have",
                    printable((store_.path() / tree_folder(kind_)).string()), limits_.entries)};
  }

  void descend(const std::string& path, std::size_t level) {
    std::error_code ec;
    StoreDir::Opened directory = store_.open_directory(path, ec);
    if (!ec) on_directory_(directory.fd.get());
    const std::vector<Entry> entries =
        ec ? std::vector<Entry>{} : entries_of(std::move(directory.fd), ec);
    refuse_shortage(store_, path, ec);
    if (ec) unlistable(path, level, ec);
    for (const Entry& entry : entries) {
      if (is_temporary(entry.name)) continue;
      parts_[level] = entry.name;
      const std::string child = path + "/" + entry.name;
      if (level + 1 == kLevels) {
        add_tag(child, entry);
      } else if (entry.may_be_directory()) {
        descend(child, level + 1);
      } else {
        stray(child);
      }
    }
  }

  void unlistable(const std::string& path, std::size_t level, const std::error_code& ec) {
    std::error_code gone;
    (void)store_.resolve_entry(path, gone);
    if (gone == std::errc::no_such_file_or_directory) return;  // it was removed meanwhile
    const bool leads_nowhere = ec == std::errc::no_such_file_or_directory ||
                               ec == std::errc::not_a_directory ||
                               ec == std::errc::too_many_symbolic_link_levels;
    if (leads_nowhere && level > 0) return stray(path);
    listing_.unlisted.push_back(path);
    if (is_disk_failure(ec)) listing_.unread.push_back(path);
    problem(path, ec == std::errc::cross_device_link
                      ? "is a symlink that leads out of the store: name its target with -o follow="
                      : fmt::format("cannot be listed: {}", ec.message()));
  }

  void stray(const std::string& path) {
    problem(path, "is a stray file: only directories belong here");
  }

  // Where a symlink leads the store judges, before anything there is touched.
  [[nodiscard]] bool is_directory(const std::string& path, const Entry& entry) const {
    if (entry.type == DT_DIR) return true;
    if (!entry.may_be_directory()) return false;
    std::error_code ec;
    const StoreDir::Opened reached = store_.resolve(path, ec);
    struct stat st {};
    return !ec && store_.calls().fstat(reached.fd.get(), st) == 0 && S_ISDIR(st.st_mode);
  }

  void add_tag(const std::string& path, const Entry& entry) {
    const auto& [host, name_space, model, tag] = parts_;
    const auto name = kind_ == TreeKind::v1
                          ? ModelName::from_parts(host, name_space, model, tag)
                          : ModelName::from_v2_parts(host, name_space, model, tag);
    if (!name) {
      problem(path, "is not a model: its name is outside Ollama's grammar");
    } else if (is_directory(path, entry)) {
      problem(path, "is a directory where a manifest belongs");
    } else if (kind_ == TreeKind::v2 || !is_shadow(*name)) {
      listing_.tags.push_back({kind_, path, *name});
    }
  }

  const StoreDir& store_;
  TreeKind kind_;
  const std::function<void(int)>& on_directory_;
  const StoreLimits& limits_;
  std::size_t entries_ = 0;
  std::array<std::string, kLevels> parts_;
  TagListing listing_;
};

}  // namespace

const char* tree_folder(TreeKind kind) noexcept {
  return kind == TreeKind::v1 ? "manifests" : "manifests-v2";
}

TagListing list_tags(const StoreDir& store, TreeKind kind,
                     const std::function<void(int directory)>& on_directory,
                     const StoreLimits& limits) {
  return Walk{store, kind, on_directory, limits}.run();
}

}  // namespace ollamafs
