#include "src/say/standard_files.h"

#include <fcntl.h>
#include <unistd.h>

#include <initializer_list>

namespace ollamafs {

void open_standard_files() {
  for (const int file : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (::fcntl(file, F_GETFD) >= 0) continue;
    // Takes the lowest free number, which is this one.
    (void)::open("/dev/null", file == STDIN_FILENO ? O_WRONLY : O_RDONLY);
  }
}

}  // namespace ollamafs
