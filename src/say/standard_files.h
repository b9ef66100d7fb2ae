#pragma once

namespace ollamafs {

// Opens /dev/null in the place of standard input, output and error where they are closed, as some
// supervisors leave them. Without it the next file that the program opens, /dev/fuse say, gets the
// number of stderr, and messages are written to it. In the place of an output /dev/null is opened
// for reading only, so that `ollamafs list >&-` fails as it should: nobody gets the list. Called
// first.
void open_standard_files();

}  // namespace ollamafs
