#include "store/catalog/tag_tree.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <stdexcept>
#include <string_view>
#include <system_error>

#include "store/base/dir_stream.h"
#include "store/base/text.h"
#include "store/folder/read_file.h"
#include "store/model/digest.h"

namespace ollamafs {
namespace {

constexpr std::size_t kLevels = 4;  // host, namespace, model, tag

bool may_be_directory(const FolderEntry& entry) noexcept {
  return entry.type == DT_DIR || entry.type == DT_LNK || entry.type == DT_UNKNOWN;
}

// Its tag is the digest of the converted child's manifest (docs/store-format.md §3.2).
bool is_shadow(const ModelName& name) {
  return name.is_public() && name.name_space() == ModelName::kDefaultNamespace &&
         name.model() == "llamacpp" && Digest::parse_hex(name.tag());
}

// Of a server that is writing a manifest, in either tree (docs/store-format.md §5).
bool is_temporary(std::string_view name) noexcept {
  return name.starts_with(".manifest-");
}

class Walk {
 public:
  Walk(const StoreDir& store, TreeKind kind, StoreMemory& memory, const StoreLimits& limits)
      : store_{store}, kind_{kind}, memory_{memory}, limits_{limits} {}

  TagListing run() && {
    const std::string root = tree_folder(kind_);
    std::error_code ec;
    (void)store_.resolve(root, ec);
    if (ec != std::errc::no_such_file_or_directory) descend(root, 0, true);
    std::ranges::sort(listing_.tags, {}, &Tag::path);
    std::ranges::sort(listing_.shadows, {}, &Tag::path);
    return std::move(listing_);
  }

 private:
  void problem(ProblemKind kind, const std::string& path, std::string text) {
    listing_.problems.push_back({kind, {}, path, std::move(text)});
  }

  FolderEntries entries_of(UniqueFd directory, std::error_code& ec) {
    FolderEntries entries;
    for_each_dir_entry(store_.calls(), std::move(directory), ec, [&](const dirent& entry) {
      count_entries(1);
      entries.push_back({entry.d_name, entry.d_type});
    });
    std::ranges::sort(entries, {}, &FolderEntry::name);
    return entries;
  }

  void count_entries(std::size_t more) {
    entries_ += more;
    if (entries_ <= limits_.entries) return;
    throw std::length_error{
        fmt::format("{} has more than {} entries, the most that a store may have",
                    printable((store_.path() / tree_folder(kind_)).string()), limits_.entries)};
  }

  // Where a symlink leads may change unseen: `plain` is a folder without one on the way.
  void descend(const std::string& path, std::size_t level, bool plain) {
    // The tree itself is always looked at: something else may be mounted there by now.
    const FolderEntries* const known = plain && level > 0 ? memory_.entries(path) : nullptr;
    if (known) count_entries(known->size());
    const FolderEntries fresh = known ? FolderEntries{} : read_folder(path, level, plain);
    for (const FolderEntry& entry : known ? *known : fresh) {
      if (is_temporary(entry.name)) continue;
      parts_[level] = entry.name;
      const std::string child = path + "/" + entry.name;
      if (level + 1 == kLevels) {
        add_tag(child, entry, known != nullptr);
      } else if (may_be_directory(entry)) {
        descend(child, level + 1, plain && entry.type == DT_DIR);
      } else {
        stray(child);
      }
    }
  }

  FolderEntries read_folder(const std::string& path, std::size_t level, bool plain) {
    std::error_code ec;
    StoreDir::Opened directory = store_.open_directory(path, ec);
    if (!ec) memory_.watch_folder(directory.fd.get(), path);
    FolderEntries entries;
    if (!ec) entries = entries_of(std::move(directory.fd), ec);
    refuse_shortage(store_, path, ec);
    if (ec) {
      unlistable(path, level, ec);
    } else if (plain) {
      memory_.remember(path, entries);
    }
    return entries;
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
    if (ec == std::errc::cross_device_link) {
      problem(ProblemKind::outside, path,
              "is a symlink that leads out of the store: name its target with -o follow=");
    } else {
      problem(ProblemKind::unlistable, path, fmt::format("cannot be listed: {}", ec.message()));
    }
  }

  void stray(const std::string& path) {
    problem(ProblemKind::stray_file, path, "is a stray file: only directories belong here");
  }

  void add_tag(const std::string& path, const FolderEntry& entry, bool unchanged) {
    const auto& [host, name_space, model, tag] = parts_;
    const auto name = kind_ == TreeKind::v1
                          ? ModelName::from_parts(host, name_space, model, tag)
                          : ModelName::from_v2_parts(host, name_space, model, tag);
    if (!name) {
      problem(ProblemKind::bad_name, path, "is not a model: its name is outside Ollama's grammar");
    } else if (entry.type == DT_DIR) {
      problem(ProblemKind::directory, path, kDirectoryForManifest);
    } else {
      const bool is_model = kind_ == TreeKind::v2 || !is_shadow(*name);
      (is_model ? listing_.tags : listing_.shadows).push_back({kind_, path, *name, unchanged});
    }
  }

  const StoreDir& store_;
  TreeKind kind_;
  StoreMemory& memory_;
  const StoreLimits& limits_;
  std::size_t entries_ = 0;
  std::array<std::string, kLevels> parts_;
  TagListing listing_;
};

}  // namespace

const char* tree_folder(TreeKind kind) noexcept {
  return kind == TreeKind::v1 ? "manifests" : "manifests-v2";
}

TagListing list_tags(const StoreDir& store, TreeKind kind, StoreMemory* memory,
                     const StoreLimits& limits) {
  StoreMemory none;
  return Walk{store, kind, memory ? *memory : none, limits}.run();
}

}  // namespace ollamafs
