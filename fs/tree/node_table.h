#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <utility>

#include "fs/tree/tree.h"

namespace ollamafs {

// A node and the snapshot that it is part of, which it keeps alive.
struct NodeRef {
  std::shared_ptr<const Tree> tree;
  const Node* node = nullptr;

  explicit operator bool() const noexcept { return node != nullptr; }
  const Node* operator->() const noexcept { return node; }
  const Node& operator*() const noexcept { return *node; }
};

// What inode numbers stand for: the nodes of the current snapshot, and those that are pinned
// because somebody has them open. Numbers are pure functions of identity, so nothing is counted for
// the kernel's sake: a number that neither has is stale (docs/view.md §2).
//
// Safe to use from several threads; no call waits for I/O.
class NodeTable {
 public:
  explicit NodeTable(std::shared_ptr<const Tree> tree) : current_{std::move(tree)} {}

  // The newest snapshot.
  [[nodiscard]] std::shared_ptr<const Tree> current() const;

  // Puts a new snapshot in the place of the current one. Nodes that are pinned stay.
  void publish(std::shared_ptr<const Tree> tree);

  // What `ino` stands for: in the current snapshot, else among the pinned, else where it was led on
  // to. Empty: ESTALE.
  [[nodiscard]] NodeRef find(InodeNumber ino) const;

  // The number of a model's directory that is shown no more stands for the directory of the version
  // that is shown under this view name now, as long as that is shown: rsync stands in the old one
  // by its number when the model has just been renewed for it. Nothing happens if there is none.
  void lead_on(InodeNumber old, const std::string& view_name);

  // As long as a pin lives, find() answers for its node.
  class Pin {
   public:
    Pin(Pin&& other) noexcept
        : table_{std::exchange(other.table_, nullptr)}, ref_{std::move(other.ref_)} {}
    Pin& operator=(Pin&&) = delete;
    ~Pin();

    [[nodiscard]] const NodeRef& ref() const noexcept { return ref_; }

   private:
    friend class NodeTable;
    Pin(NodeTable* table, NodeRef ref) noexcept : table_{table}, ref_{std::move(ref)} {}

    NodeTable* table_;
    NodeRef ref_;
  };

  // Pins `ref`, which must not be empty. The pin must not outlive the table.
  [[nodiscard]] Pin pin(NodeRef ref);

 private:
  struct Pinned {
    NodeRef ref;
    std::uint32_t pins = 0;
  };

  mutable std::mutex mutex_;
  std::shared_ptr<const Tree> current_;
  std::unordered_map<InodeNumber, Pinned> pinned_;
  std::unordered_map<InodeNumber, InodeNumber> led_on_;
};

}  // namespace ollamafs
