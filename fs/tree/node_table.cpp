#include "fs/tree/node_table.h"

namespace ollamafs {
namespace {

constexpr std::size_t kMostLedOn = 10'000;

}  // namespace

std::shared_ptr<const Tree> NodeTable::current() const {
  const std::scoped_lock lock{mutex_};
  return current_;
}

// A number that was led on to a version which goes now is stale for good: also if that version
// comes back, the kernel may know of others by it.
void NodeTable::publish(std::shared_ptr<const Tree> tree) {
  const std::scoped_lock lock{mutex_};
  std::erase_if(led_on_, [&](const auto& entry) { return !tree->find(entry.second); });
  current_.swap(tree);  // the old one goes behind the lock, if nobody else has it
}

NodeRef NodeTable::find(InodeNumber ino) const {
  const std::scoped_lock lock{mutex_};
  if (const Node* node = current_->find(ino)) return {current_, node};
  if (const auto it = pinned_.find(ino); it != pinned_.end()) return it->second.ref;
  const auto it = led_on_.find(ino);
  const Node* const now = it == led_on_.end() ? nullptr : current_->find(it->second);
  return now ? NodeRef{current_, now} : NodeRef{};
}

void NodeTable::lead_on(InodeNumber old, const std::string& view_name) {
  const std::scoped_lock lock{mutex_};
  const Node* const now = current_->model_directory(view_name);
  if (!now || now->ino == old) return;
  if (led_on_.size() == kMostLedOn) led_on_.clear();  // those are stale then, and looked up again
  led_on_[old] = now->ino;
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
