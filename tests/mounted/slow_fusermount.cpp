#include "tests/mounted/slow_fusermount.h"

#include <stdexcept>
#include <string>

#include "tests/support/process.h"
#include "tests/support/store_builder.h"

namespace ollamafs::test {

namespace fs = std::filesystem;

SlowFusermount::SlowFusermount()
    : usual_{must({"sh", "-c", "printf %s \"$(command -v fusermount3)\""})},
      kept_{usual_, place_for_real()},
      replaced_{script(), usual_} {}

void SlowFusermount::wait_until_called() const {
  if (!eventually([&] { return fs::exists(dir_ / "called"); })) {
    throw std::runtime_error{"fusermount3 was not called"};
  }
}

void SlowFusermount::go_on() const {
  write_file(dir_ / "go", "");
}

fs::path SlowFusermount::script() const {
  must({"chmod", "0777", dir_.path().string()});
  const std::string dir = dir_.path().string();
  write_file(dir_ / "script",
             "#!/bin/sh\n"
             ": >" +
                 dir +
                 "/called\n"
                 "while [ ! -e " +
                 dir +
                 "/go ]; do sleep 0.01; done\n"
                 "exec " +
                 dir + "/real \"$@\"\n");
  must({"chmod", "0755", dir + "/script"});
  return dir_ / "script";
}

fs::path SlowFusermount::place_for_real() const {
  write_file(dir_ / "real", "");
  return dir_ / "real";
}

}  // namespace ollamafs::test
