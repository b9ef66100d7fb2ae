// The mounted tests run in a mount namespace of their own, which ends with them: nothing that they
// mount is seen outside, and nothing stays.
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <string>

namespace {

constexpr const char* kFuse = "/dev/fuse";

bool fail(const char* what) {
  std::fprintf(stderr, "mounted tests: %s: %s\n", what, std::strerror(errno));
  return false;
}

// An ordinary user must be able to open /dev/fuse, as udev lets them nearly everywhere. Where this
// machine's may not be opened, one that may is put over it, in this namespace.
bool open_fuse_to_all() {
  struct stat st {};
  if (::stat(kFuse, &st) != 0) return fail("/dev/fuse, without which nothing can be mounted");
  if ((st.st_mode & 0006) == 0006) return true;
  char place[] = "/tmp/ollamafs-dev-XXXXXX";
  if (!::mkdtemp(place)) return fail("mkdtemp");
  if (::mount("tmpfs", place, "tmpfs", MS_NOSUID, "mode=0755") != 0) return fail("tmpfs");
  const std::string node = std::string{place} + "/fuse";
  if (::mknod(node.c_str(), S_IFCHR | 0666, st.st_rdev) != 0 || ::chmod(node.c_str(), 0666) != 0 ||
      ::mount(node.c_str(), kFuse, nullptr, MS_BIND, nullptr) != 0) {
    return fail("a /dev/fuse for everybody");
  }
  if (::umount2(place, MNT_DETACH) != 0) return fail("umount");
  ::rmdir(place);
  return true;
}

// The program under test, where every user can run it: in the build's own place only its owner may,
// if that lies in a home that is closed to others. Nothing is copied: the file is bound there, in
// this namespace.
class ForEverybody {
 public:
  ForEverybody() = default;
  ~ForEverybody() {
    if (program_.empty()) return;
    ::umount2(program_.c_str(), MNT_DETACH);
    ::unlink(program_.c_str());
    ::rmdir(dir_);
  }
  ForEverybody(const ForEverybody&) = delete;
  ForEverybody& operator=(const ForEverybody&) = delete;

  bool bind(const char* program) {
    if (!::mkdtemp(dir_) || ::chmod(dir_, 0755) != 0) return fail("mkdtemp");
    program_ = std::string{dir_} + "/ollamafs";
    std::ofstream{program_}.close();
    if (::mount(program, program_.c_str(), nullptr, MS_BIND, nullptr) != 0) return fail(program);
    return ::setenv("OLLAMAFS_UNDER_TEST", program_.c_str(), 1) == 0;
  }

 private:
  char dir_[32] = "/tmp/ollamafs-program-XXXXXX";
  std::string program_;
};

// Who has called sudo to run the tests is not who runs the program in them.
void forget_sudo() {
  for (const char* name : {"SUDO_UID", "SUDO_GID", "SUDO_USER", "SUDO_COMMAND", "SUDO_HOME"})
    ::unsetenv(name);
}

// Where the sanitizers of the programs under test write what they find: a daemon in the background
// has no stderr and nobody who asks for its exit status.
class Reports {
 public:
  Reports() {
    if (!::mkdtemp(dir_) || ::chmod(dir_, 0777) != 0) fail("mkdtemp");
    for (const char* options : {"ASAN_OPTIONS", "TSAN_OPTIONS", "UBSAN_OPTIONS"}) {
      const char* known = std::getenv(options);
      const std::string value =
          (known ? known + std::string{":"} : "") + "log_path=" + dir_ + "/report";
      ::setenv(options, value.c_str(), 1);
    }
  }
  // Prints them. True if there are any.
  bool print() const {
    bool any = false;
    for (const auto& entry : std::filesystem::directory_iterator{dir_}) {
      any = true;
      std::cerr << std::ifstream{entry.path()}.rdbuf();
    }
    std::filesystem::remove_all(dir_);
    return any;
  }

 private:
  char dir_[32] = "/tmp/ollamafs-reports-XXXXXX";
};

bool enter_namespace() {
  if (::geteuid() != 0) {
    std::fputs(
        "mounted tests: need root for a mount namespace of their own; scripts/test uses sudo\n",
        stderr);
    return false;
  }
  if (::unshare(CLONE_NEWNS) != 0) return fail("unshare");
  if (::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0)
    return fail("private mounts");
  return open_fuse_to_all();
}

}  // namespace

int main(int argc, char** argv) {
  ::testing::InitGoogleTest(&argc, argv);
  // ctest asks for the names of the tests at build time, without root.
  const bool runs = !GTEST_FLAG_GET(list_tests);
  ForEverybody program;
  if (runs && (!enter_namespace() || !program.bind(OLLAMAFS_BINARY))) return 1;
  forget_sudo();
  ::umask(022);
  const Reports reports;
  const int status = RUN_ALL_TESTS();
  if (runs && ::testing::UnitTest::GetInstance()->test_to_run_count() == 0) {
    std::fputs("no test has this name\n", stderr);
    return 1;
  }
  return reports.print() ? 1 : status;
}
