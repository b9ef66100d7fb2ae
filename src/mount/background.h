#pragma once

// Room src/mount: The daemon: mount point, signals, log, and all that lives as long as a mount.

#include <functional>

#include "src/say/exit_status.h"

namespace ollamafs {

// Closes what this process was given beside its standard files: a daemon would keep a script's lock
// or a supervisor's pipe open for as long as it lives. Called before it opens files of its own.
void close_inherited_files();

// Runs `work` in a process and session of its own, and returns when that is ready to be left alone,
// or has ended: until then its complaints go to the terminal, and signals to this process (Ctrl-C)
// are passed on to it and are blocked here. Call it with one thread.
//
// `work` is called in the new process, with SIGTERM, SIGINT and SIGHUP blocked, and with a function
// to call once it is ready: this gives up the terminal and the working directory, and throws
// std::system_error if nobody waits for it any more. What `work` returns is the exit status of that
// process. In the calling process the result is ok if `work` got ready, else what it returned; if a
// signal was passed on, the calling process ends by that signal once the other has ended.
ExitStatus run_in_background(
    const std::function<ExitStatus(const std::function<void()>& ready)>& work);

}  // namespace ollamafs
