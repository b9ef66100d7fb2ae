#pragma once

#include <functional>

#include "src/exit_status.h"

namespace ollamafs {

// Opens /dev/null in the place of standard input, output and error where they are closed, as some
// supervisors leave them: what the program opens later would be taken for them. Opened the wrong
// way round, so that output that nobody gets still fails. Called first.
void open_standard_files();

// Runs `work` in a process of its own and returns when that is ready to be left alone, or has
// ended: until then it shares the terminal, so that its complaints are seen and Ctrl-C reaches it.
//
// `work` is called in the new process, with a function to call once it is ready: this gives up the
// terminal, the working directory and the session. What `work` returns is the exit status of that
// process. In the calling process the result is ok if `work` got ready, else what it returned.
ExitStatus run_in_background(
    const std::function<ExitStatus(const std::function<void()>& ready)>& work);

}  // namespace ollamafs
