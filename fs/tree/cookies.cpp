#include "fs/tree/cookies.h"

namespace ollamafs {
namespace {

// A directory offset is a signed 64-bit number, and telldir(3) must not look negative to anybody.
constexpr std::uint64_t kEnd = std::uint64_t{1} << 62;

// Spreads `entries` evenly between two cookies. False: there is no room.
bool spread(std::span<Dentry> entries, std::uint64_t from, std::uint64_t to) {
  const std::uint64_t step = (to - from) / (entries.size() + 1);
  if (step == 0) return false;
  for (Dentry& entry : entries) entry.cookie = from += step;
  return true;
}

}  // namespace

void assign_cookies(std::span<Dentry> entries, std::span<const Dentry> previous) {
  std::uint64_t from = Tree::kNoCookie;
  std::size_t first_new = 0;  // of those between two that have a cookie
  bool room = true;
  auto known = previous.begin();
  for (std::size_t i = 0; i < entries.size(); ++i) {
    while (known != previous.end() && known->name < entries[i].name) ++known;
    if (known == previous.end() || known->name != entries[i].name) continue;
    entries[i].cookie = known->cookie;
    room = room && spread(entries.subspan(first_new, i - first_new), from, known->cookie);
    from = known->cookie;
    first_new = i + 1;
  }
  if (!room || !spread(entries.subspan(first_new), from, kEnd)) {
    spread(entries, Tree::kNoCookie, kEnd);
  }
}

}  // namespace ollamafs
