#pragma once

#include <filesystem>
#include <string>

#include "tests/mounted/mount.h"
#include "tests/support/faulty_calls.h"
#include "tests/support/temp_dir.h"

namespace ollamafs::test {

// A plan in a file, which another process maps too.
class SharedPlan {
 public:
  explicit SharedPlan(const std::filesystem::path& file);
  ~SharedPlan();
  SharedPlan(const SharedPlan&) = delete;
  SharedPlan& operator=(const SharedPlan&) = delete;

  FaultPlan* operator->() const noexcept { return plan_; }

 private:
  FaultPlan* plan_;
};

// The real mount, whose store and memory fail as its plan says. Nothing fails any more when it is
// unmounted.
class FaultyMount {
 public:
  explicit FaultyMount(const std::filesystem::path& store, const std::string& option = "hold=1");
  ~FaultyMount() { plan->clear(); }
  FaultyMount(const FaultyMount&) = delete;
  FaultyMount& operator=(const FaultyMount&) = delete;

 private:
  TempDir dir_;

 public:
  SharedPlan plan;
  Mount mount;
};

}  // namespace ollamafs::test
