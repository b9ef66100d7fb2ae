#include "fs/tree/inode_number.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace ollamafs::test {
namespace {

constexpr InodeNumber kLimit = InodeNumber{1} << 63;

// The expected values were computed by another program (FNV-1a of 64 bits, then the 64-bit
// finalizer of MurmurHash3). They must never change: backups and file handles keep these numbers.
TEST(InodeHash, IsTheSameInEveryRelease) {
  EXPECT_EQ(inode_hash(""), 0xefd01f60ba992926u);
  EXPECT_EQ(inode_hash("a"), 0x82a2a958a9bece5bu);
  EXPECT_EQ(inode_hash("5:group7:/models"), 0x63f4676cdafd3c76u);
  EXPECT_EQ(inode_hash(std::string(100, '\xff')), 0x838559bf8931043du);
  EXPECT_EQ(inode_hash(std::string("a\0b", 3)), 0xab78f5eca36d0e2bu);
}

TEST(InodeNumbers, AreTheHashesWithoutTheirTwoTopBits) {
  InodeNumbers numbers;
  EXPECT_EQ(numbers.assign("5:group7:/models"), 0x23f4676cdafd3c76u);
  EXPECT_EQ(numbers.assign("a"), 0x02a2a958a9bece5bu);
  EXPECT_EQ(numbers.assign("", true), 0x6fd01f60ba992926u);
}

TEST(InodeIdentity, TellsWhereEachPartEnds) {
  EXPECT_EQ(inode_identity({"blob", "abc"}), "4:blob3:abc");
  EXPECT_EQ(inode_identity({"models", ""}), "6:models0:");
  const std::set<std::string> different = {
      inode_identity({}),
      inode_identity({""}),
      inode_identity({"", ""}),
      inode_identity({"ab"}),
      inode_identity({"a", "b"}),
      inode_identity({"", "ab"}),
      inode_identity({"ab", ""}),
      inode_identity({"1:a", "b"}),
      inode_identity({"1:a1:b"}),
      inode_identity({"a1:b"}),
      inode_identity({std::string_view{"a\0b", 3}}),
  };
  EXPECT_EQ(different.size(), 11u);
}

TEST(InodeNumbers, AreTheSameForTheSameIdentitiesInAnyOrder) {
  InodeNumbers one, other;
  const InodeNumber a = one.assign("a"), b = one.assign("b");
  EXPECT_EQ(other.assign("b"), b);
  EXPECT_EQ(other.assign("a"), a);
}

TEST(InodeNumbers, OfLateNodesLieAboveAllOthers) {
  InodeNumbers numbers;
  InodeNumber highest_early = 0, lowest_late = kLimit;
  for (int i = 0; i < 20'000; ++i) {
    highest_early = std::max(highest_early, numbers.assign("early " + std::to_string(i)));
    lowest_late = std::min(lowest_late, numbers.assign("late " + std::to_string(i), true));
    ASSERT_LT(numbers.assign("late too " + std::to_string(i), true), kLimit);
  }
  EXPECT_LT(highest_early, lowest_late);
}

TEST(InodeNumbers, DoNotCollideForAHundredThousandNodes) {
  InodeNumbers numbers;
  std::set<InodeNumber> given;
  for (int i = 0; i < 100'000; ++i) {
    const std::string identity = inode_identity({"blob", std::to_string(i)});
    const InodeNumber number = numbers.assign(identity);
    ASSERT_TRUE(given.insert(number).second);
    ASSERT_EQ(number, inode_hash(identity) & (kLateInode - 1)) << "not a function of its identity";
  }
}

TEST(InodeNumbers, TellWhichCameWhen) {
  InodeNumbers numbers;
  std::vector<InodeNumber> given{kRootInode};
  for (int i = 0; i < 1000; ++i) given.push_back(numbers.assign(std::to_string(i), i % 3 == 0));
  for (std::uint32_t i = 0; i < given.size(); ++i) EXPECT_EQ(numbers.find(given[i]), i);
  for (const InodeNumber number : {InodeNumber{0}, InodeNumber{2}, kLimit, ~InodeNumber{0}}) {
    EXPECT_EQ(numbers.find(number), std::nullopt) << number;
  }
}

TEST(InodeIdentity, GoesOnFromOneForThePartsBefore) {
  EXPECT_EQ(inode_identity({"c", ""}, inode_identity({"a", "b"})),
            inode_identity({"a", "b", "c", ""}));
  const std::string longer(1000, 'x');
  EXPECT_EQ(inode_identity({longer}, inode_identity({longer})), inode_identity({longer, longer}));
}

// ---- a hash that fails ----

std::uint64_t length_of(std::string_view bytes) noexcept {
  return 100 + bytes.size();
}

TEST(InodeNumbers, OfIdentitiesWithOneHashAreDifferent) {
  InodeNumbers numbers{length_of};
  std::set<InodeNumber> given;
  for (const char* identity : {"aaa", "bbb", "ccc", "dddd", "eee"}) {
    EXPECT_TRUE(given.insert(numbers.assign(identity)).second) << identity;
  }
  EXPECT_TRUE(given.contains(103));  // the first has its own
}

// Their places in a table lie side by side, and go on at its beginning.
TEST(InodeNumbers, ThatAreNeighboursAreFound) {
  InodeNumbers numbers{[](std::string_view bytes) noexcept -> std::uint64_t {
    return 0xFFFF'FFFF - bytes.size() % 4 * 0x1'0000;
  }};
  std::vector<InodeNumber> given{kRootInode};
  for (std::size_t i = 0; i < 4; ++i) given.push_back(numbers.assign(std::string(i, 'a')));
  for (std::uint32_t i = 0; i < given.size(); ++i) EXPECT_EQ(numbers.find(given[i]), i);
  EXPECT_EQ(numbers.find(0xFFFF), std::nullopt);
}

TEST(InodeNumbers, OfIdentitiesWithOneHashAreTheSameOnEveryMount) {
  const auto all = [] {
    InodeNumbers numbers{length_of};
    std::vector<InodeNumber> given;
    for (const char* identity : {"a", "b", "cc", "d", "", "eee"})
      given.push_back(numbers.assign(identity));
    return given;
  };
  EXPECT_EQ(all(), all());
}

TEST(InodeNumbers, AreNeitherNoneNorTheRoots) {
  InodeNumbers numbers{
      [](std::string_view bytes) noexcept -> std::uint64_t { return bytes.size(); }};
  EXPECT_GT(numbers.assign(""), kRootInode);
  EXPECT_GT(numbers.assign("x"), kRootInode);
}

TEST(InodeNumbers, KeepBelowTheSignOfAnOffset) {
  InodeNumbers numbers{[](std::string_view bytes) noexcept -> std::uint64_t {
    return ~std::uint64_t{0} - bytes.size();
  }};
  const InodeNumber early = numbers.assign(""), late = numbers.assign("", true);
  EXPECT_LT(early, kLateInode);
  EXPECT_GE(late, kLateInode);
  EXPECT_LT(late, kLimit);
}

// One number for an early and a late node would make one of them unreachable.
TEST(InodeNumbers, OfEarlyAndLateNodesNeverMeet) {
  InodeNumbers numbers{length_of};
  EXPECT_LT(numbers.assign("a"), kLateInode);
  EXPECT_GE(numbers.assign("b", true), kLateInode);
  EXPECT_LT(numbers.assign("c"), kLateInode);
}

}  // namespace
}  // namespace ollamafs::test
