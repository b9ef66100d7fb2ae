// `ollamafs mount`, the real one, whose store and whose memory fail as a test says at any moment:
// the environment names the file that holds the plan.
#include <execinfo.h>
#include <fcntl.h>
#include <sys/mman.h>

#include <cstdio>
#include <cstdlib>
#include <exception>

#include "src/mount/mount_command.h"
#include "store/base/unique_fd.h"
#include "tests/faults/faulty_memory.h"
#include "tests/support/faulty_calls.h"

namespace ollamafs::test {
namespace {

FaultPlan* open_plan() {
  const char* const path = std::getenv("OLLAMAFS_FAULTS");
  const UniqueFd fd{path ? ::open(path, O_RDWR | O_CLOEXEC) : -1};
  void* const memory =
      ::mmap(nullptr, sizeof(FaultPlan), PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
  return memory == MAP_FAILED ? nullptr : static_cast<FaultPlan*>(memory);
}

// mount -f --store STORE MOUNTPOINT [-o OPTIONS]
int run(char** words) {
  FaultPlan* const plan = open_plan();
  if (!plan) {
    std::fputs("faulty-ollamafs: no plan: OLLAMAFS_FAULTS must name its file\n", stderr);
    return 2;
  }
  MountArguments arguments;
  arguments.foreground = true;
  arguments.store = words[4];
  arguments.mountpoint = words[5];
  if (words[6]) arguments.options = {words[7]};
  const FaultyCalls calls{*plan};
  fail_allocations_by(plan);
  const ExitStatus status = mount_command(arguments, calls);
  fail_allocations_by(nullptr);
  return static_cast<int>(status);
}

}  // namespace
}  // namespace ollamafs::test

int main(int, char** words) {
  // Where an exception came from that nobody caught; addr2line(1) reads it.
  std::set_terminate([] {
    void* frames[40];
    ollamafs::test::fail_allocations_by(nullptr);
    ::backtrace_symbols_fd(frames, ::backtrace(frames, 40), 2);
    std::abort();
  });
  try {
    return ollamafs::test::run(words);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "faulty-ollamafs: %s\n", error.what());
    return 1;
  }
}
