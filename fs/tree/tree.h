#pragma once

#include <sys/types.h>

#include <atomic>
#include <cstdint>
#include <deque>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "fs/tree/inode_number.h"
#include "fs/tree/name_pool.h"
#include "fs/tree/recipe.h"
#include "fs/tree/view.h"
#include "store/catalog/catalog.h"
#include "store/folder/store_dir.h"

namespace ollamafs {

enum class NodeKind : std::uint8_t {
  directory,
  blob,      // a blob of the store, byte for byte
  manifest,  // the manifest in a model directory
  archive,   // a file assembled from several blobs: a model's tar, or a part of it
  late,      // a file that is made when it is first asked for: most are texts, as README.txt
  stand_in,  // what a directory lists in the place of what cannot be had: see Tree::stand_in_name
};

// How large a part of an archive is where nothing else is said, bytes: a little less than FAT32 can
// hold as one file.
inline constexpr std::uint64_t kSplit = 4'000'000'000;

// An inode of the view. What it shows of itself is docs/view.md §2.
struct Node {
  static constexpr std::uint32_t kNone = std::numeric_limits<std::uint32_t>::max();

  // The large ones first: a store of 10,000 models has 240,000 nodes.
  InodeNumber ino = 0;
  std::uint64_t size = 0;   // bytes; 0 for directories and late files: Tree::size_of()
  std::int64_t mtime = 0;   // seconds; ctime and atime are the same, but for `change`
  Recipe recipe = nullptr;  // of a file: its content
  mode_t permissions = 0755;
  uid_t uid = 0;
  gid_t gid = 0;
  std::uint32_t nlink = 0;       // directory entries that lead here
  std::uint32_t model = kNone;   // what it belongs to: index into models() of catalog_of()
  std::uint32_t source = kNone;  // a blob's index into Catalog::blobs(); a late file's in the tree;
                                 // which part of the archive it is, kNone: all of it
  std::uint32_t parent = kNone;  // of a directory: node index
  std::uint32_t first_entry = 0;  // of a directory: where its entries begin
  std::uint32_t entries = 0;      // and how many there are
  std::uint32_t change = 0;       // nanoseconds of ctime, see TreeBuilder::date_groups
  NodeKind kind = NodeKind::directory;
  std::optional<View> asleep{};  // of a directory: the view that it will lead to, see build_tree()

  [[nodiscard]] bool is_directory() const noexcept { return kind == NodeKind::directory; }
};

// A name in a directory.
struct Dentry {
  std::string_view name;  // with a NUL behind it
  std::uint32_t node;
  // Where a listing goes on behind this entry. Grows along the directory, and stays with the name
  // in the snapshots that follow, so that a listing that goes on in a later one skips nothing.
  std::uint64_t cookie;
};

// All nodes of the view at one moment. Immutable and shared between threads; made by TreeBuilder.
class Tree {
 public:
  // What is shown, but for the archives: models that are in use in the version that is in use.
  [[nodiscard]] const Catalog& catalog() const noexcept { return *catalog_; }

  // What the store has, which archives are made of: the same, if nothing else is in use. An archive
  // needs no version kept for it: who has it open has all of it.
  [[nodiscard]] const Catalog& stored() const noexcept { return *stored_; }

  // Of the views that sleep until somebody looks into them: those that are there.
  [[nodiscard]] ViewSet awake() const noexcept { return awake_; }

  // And those that are not: they have an empty directory with Node::asleep.
  [[nodiscard]] ViewSet asleep() const noexcept { return asleep_; }

  // The size of every part of an archive but the last, bytes.
  [[nodiscard]] std::uint64_t split() const noexcept { return split_; }

  // Where the late files of a model are read that are made of its blobs; null: there are none such.
  [[nodiscard]] const StoreDir* store() const noexcept { return store_; }

  // The one of both that a node's indexes mean.
  [[nodiscard]] const Catalog& catalog_of(const Node& node) const noexcept {
    return node.kind == NodeKind::archive ? *stored_ : *catalog_;
  }

  // The node with this number, or null.
  [[nodiscard]] const Node* find(InodeNumber ino) const noexcept;

  [[nodiscard]] const Node& root() const noexcept { return nodes_.front(); }
  [[nodiscard]] const Node& node(std::uint32_t index) const noexcept { return nodes_[index]; }
  [[nodiscard]] std::size_t node_count() const noexcept { return nodes_.size(); }

  // The entries of a directory, sorted by name (bytes), without "." and "..".
  [[nodiscard]] std::span<const Dentry> entries(const Node& directory) const noexcept;

  // Cookies are above this, so that "." and ".." have room before them.
  static constexpr std::uint64_t kNoCookie = 2;

  // The entries with a higher cookie.
  [[nodiscard]] std::span<const Dentry> entries_after(const Node& directory,
                                                      std::uint64_t cookie) const noexcept;

  // What `name` stands for in a directory, "." and ".." included, or null.
  [[nodiscard]] const Node* lookup(const Node& directory, std::string_view name) const noexcept;

  // The model that a node belongs to, or null: blobs belong to none, because they are shared.
  [[nodiscard]] const Model* model(const Node& node) const noexcept;

  // The own directory of the model that models/ shows under this name; null if there is none.
  [[nodiscard]] const Node* model_directory(std::string_view view_name) const noexcept;

  // The directory of a model's blobs, in its own directory in models/: other views may have one of
  // this name, too.
  static constexpr std::string_view kBlobs = "blobs";
  [[nodiscard]] bool is_blobs_directory(const Node& node) const noexcept;

  // Whether it is a model's own directory, not one of those in it.
  [[nodiscard]] bool is_model_directory(const Node& node) const noexcept {
    return node.is_directory() && node.model != Node::kNone &&
           nodes_[node.parent].model == Node::kNone;
  }

  // A directory that cannot be had lists one file in the place of its entries, and then fails, so
  // that no tool takes it for a smaller one (docs/view.md §4). This is the name of that file: in a
  // directory of a model that is broken, kBroken; in one that leads to models, if the store is
  // gone, kGone. Else it is empty.
  static constexpr std::string_view kBroken = "BROKEN";
  static constexpr std::string_view kGone = "STORE-IS-GONE";
  [[nodiscard]] std::string_view stand_in_name(const Node& directory) const noexcept;

  // The file itself, which is in no directory's entries, and cannot be opened. There is one of it.
  [[nodiscard]] const Node& stand_in() const noexcept { return nodes_[kStandIn]; }

  // The size of a file in bytes, 0 of a directory. Of one that cannot be had, 1, so that no tool
  // makes it without opening it. Throws what late_content() throws.
  [[nodiscard]] std::uint64_t size_of(const Node& node) const;

  // Whether size_of() can tell without making the file.
  [[nodiscard]] bool knows_size(const Node& node) const noexcept;

  // Whether the kernel may keep the size of a file: that of one that cannot be had now may be
  // another in the next moment.
  [[nodiscard]] bool may_keep_size(const Node& node) const noexcept;

  // Whether a late file of `other` would be made of the same files of the store.
  [[nodiscard]] bool is_made_alike(const Node& node, const Tree& other,
                                   const Node& of_other) const noexcept;

  // The content of a late file, made anew by each call, since most are looked at and never opened.
  // Nothing if it cannot be had, or if by now it would be of another size than was said. Throws
  // std::bad_alloc, or std::system_error if this process lacks what it takes: the next call tries
  // again.
  [[nodiscard]] std::optional<Layout> late_content(const Node& node) const;

 private:
  friend class TreeBuilder;
  Tree() = default;

  static constexpr std::uint32_t kStandIn = 1;  // behind the root

  struct Late {
    static constexpr std::uint64_t kUnknown = std::numeric_limits<std::uint64_t>::max();
    static constexpr std::uint64_t kMissing = kUnknown - 1;  // it cannot be had

    LateContent make;
    TextSize size_of{};                          // its size, for less; none: by making it
    std::atomic<std::uint64_t> size = kUnknown;  // bytes

    // Keeps `found` if no size was said before. Returns the one that was said.
    std::uint64_t say(std::uint64_t found) noexcept;
  };

  std::shared_ptr<const Catalog> catalog_;
  std::shared_ptr<const Catalog> stored_;
  ViewSet awake_;
  ViewSet asleep_;
  std::uint64_t split_ = kSplit;
  const StoreDir* store_ = nullptr;
  NamePool names_;
  std::vector<Node> nodes_;  // the first is the root
  std::vector<Dentry> entries_;
  mutable std::deque<Late> late_;
  InodeNumbers numbers_;  // those of the nodes, in their order
};

}  // namespace ollamafs
