#include "store/model/problem.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <set>
#include <string_view>
#include <system_error>

namespace ollamafs {
namespace {

TEST(ProblemKind, HasANameOfItsOwn) {
  std::set<std::string_view> names;
  for (int kind = 0; kind <= static_cast<int>(ProblemKind::followed); ++kind) {
    const std::string_view name = to_string(static_cast<ProblemKind>(kind));
    EXPECT_FALSE(name.empty());
    EXPECT_TRUE(names.insert(name).second) << name;
  }
  EXPECT_EQ(to_string(ProblemKind::missing), "missing");
  EXPECT_EQ(to_string(ProblemKind::wrong_size), "wrong-size");
  EXPECT_EQ(to_string(ProblemKind::in_doubt), "in-doubt");
  EXPECT_EQ(to_string(ProblemKind::unlistable), "unlistable");
  EXPECT_EQ(to_string(ProblemKind::followed), "followed");
}

TEST(ProblemKind, IsThatOfAnError) {
  const auto kind_of = [](int error) { return problem_kind({error, std::generic_category()}); };
  EXPECT_EQ(kind_of(ENOENT), ProblemKind::missing);
  EXPECT_EQ(kind_of(ELOOP), ProblemKind::not_a_file);
  EXPECT_EQ(kind_of(EINVAL), ProblemKind::not_a_file);
  EXPECT_EQ(kind_of(EXDEV), ProblemKind::outside);
  for (const int error : {EACCES, EPERM, EIO, ENOTDIR, ESTALE}) {
    EXPECT_EQ(kind_of(error), ProblemKind::unreadable) << error;
  }
}

}  // namespace
}  // namespace ollamafs
