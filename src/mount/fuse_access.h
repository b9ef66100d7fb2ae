#pragma once

namespace ollamafs {

// Makes sure that this user can mount: /dev/fuse is there and can be opened, and the process may
// mount itself or has fusermount3 to do it. Throws CommandError that says what is missing and what
// to do. Asked before any work is done, because what libfuse has to say about it helps nobody.
void require_fuse();

}  // namespace ollamafs
