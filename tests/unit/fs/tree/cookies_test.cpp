#include "fs/tree/cookies.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ollamafs::test {
namespace {

// A directory of these names, as it follows on `previous`.
template <class Name>
std::vector<Dentry> directory(const std::set<Name>& names,
                              const std::vector<Dentry>& previous = {}) {
  std::vector<Dentry> entries;
  for (const Name& name : names) entries.push_back({name, 0, 0});
  assign_cookies(entries, previous);
  return entries;
}

// Whether a listing could go by them: above those of "." and "..", within an off_t, growing.
bool are_in_order(const std::vector<Dentry>& entries) {
  std::uint64_t last = Tree::kNoCookie;
  return std::ranges::all_of(entries, [&](const Dentry& entry) {
    return std::exchange(last, entry.cookie) < entry.cookie && entry.cookie < (1ull << 63);
  });
}

TEST(Cookies, AreInTheOrderOfNames) {
  std::set<std::string> names;
  for (int i = 0; i < 10'000; ++i) names.insert(std::to_string(i));
  EXPECT_TRUE(are_in_order(directory(names)));
  EXPECT_TRUE(are_in_order(directory(std::set<std::string>{})));
  EXPECT_TRUE(are_in_order(directory(std::set<std::string>{"one"})));
}

TEST(Cookies, StayWithTheirNamesWhateverComesAndGoes) {
  std::mt19937 random{3};
  std::set<std::string> all;  // entries look at names that others of them have no more
  std::set<std::string_view> names{"m"};
  std::vector<Dentry> before = directory(names);
  for (int round = 0; round < 300; ++round) {
    const std::string name(1 + random() % 2, static_cast<char>('a' + random() % 26));
    const bool goes = names.erase(name + std::to_string(random() % 4)) > 0;
    if (!goes) names.insert(*all.insert(name + std::to_string(random() % 4)).first);
    const std::vector<Dentry> after = directory(names, before);
    ASSERT_TRUE(are_in_order(after));
    for (const Dentry& entry : after) {
      const auto it = std::ranges::lower_bound(before, entry.name, {}, &Dentry::name);
      if (it != before.end() && it->name == entry.name) {
        ASSERT_EQ(entry.cookie, it->cookie) << entry.name;
      }
    }
    before = after;
  }
}

TEST(Cookies, AreGivenAnewWhereThereIsNoRoomLeft) {
  std::set<std::string> names{"a", "b"};
  std::vector<Dentry> entries = directory(names);
  const std::uint64_t first = entries[0].cookie;
  bool anew = false;
  for (int i = 200; i > 100 && !anew; --i) {  // each right behind "a"
    names.insert("a" + std::to_string(i));
    entries = directory(names, entries);
    ASSERT_TRUE(are_in_order(entries)) << i;
    anew = entries[0].cookie != first;
  }
  EXPECT_TRUE(anew);
  EXPECT_GT(names.size(), 40U);  // dozens, as the header says
}

}  // namespace
}  // namespace ollamafs::test
