#include "fs/tree/node_table.h"

namespace ollamafs {

std::shared_ptr<const Tree> NodeTable::current() const {
  const std::scoped_lock lock{mutex_};
  return current_;
}

void NodeTable::publish(std::shared_ptr<const Tree> tree) {
  const std::scoped_lock lock{mutex_};
  current_.swap(tree);  // the old one goes behind the lock, if nobody else has it
}

NodeRef NodeTable::find(InodeNumber ino) const {
  const std::scoped_lock lock{mutex_};
  if (const Node* node = current_->find(ino)) return {current_, node};
  const auto it = pinned_.find(ino);
  return it == pinned_.end() ? NodeRef{} : it->second.ref;
}

NodeTable::Pin NodeTable::pin(NodeRef ref) {
  const std::scoped_lock lock{mutex_};
  Pinned& pinned = pinned_[ref->ino];
  if (pinned.pins++ == 0) pinned.ref = ref;
  return Pin{this, std::move(ref)};
}

NodeTable::Pin::~Pin() {
  if (!table_) return;
  NodeRef last;  // outlives the lock: with it may go a whole tree
  const std::scoped_lock lock{table_->mutex_};
  const auto it = table_->pinned_.find(ref_->ino);
  if (--it->second.pins == 0) {
    last = std::move(it->second.ref);
    table_->pinned_.erase(it);
  }
}

}  // namespace ollamafs
