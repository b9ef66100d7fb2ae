#include "tests/faults/faulty_mount.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <new>
#include <system_error>

#include "store/base/unique_fd.h"

namespace ollamafs::test {

namespace fs = std::filesystem;

SharedPlan::SharedPlan(const fs::path& file) {
  const UniqueFd fd{::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600)};
  void* memory = MAP_FAILED;
  if (::ftruncate(fd.get(), sizeof(FaultPlan)) == 0)
    memory = ::mmap(nullptr, sizeof(FaultPlan), PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
  if (memory == MAP_FAILED) throw std::system_error{errno, std::generic_category(), file.string()};
  plan_ = new (memory) FaultPlan;
}

SharedPlan::~SharedPlan() {
  ::munmap(plan_, sizeof(FaultPlan));
}

FaultyMount::FaultyMount(const fs::path& store, const std::string& option)
    : plan{dir_ / "plan"},
      mount{store,
            {.arguments = {"-o", option},
             .run = {.environment = {{"OLLAMAFS_FAULTS", (dir_ / "plan").string()}}},
             .program = OLLAMAFS_FAULTY_BINARY}} {}

}  // namespace ollamafs::test
