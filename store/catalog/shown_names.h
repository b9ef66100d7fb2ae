#pragma once

#include <vector>

#include "store/catalog/catalog.h"

namespace ollamafs {

// Gives every model the name under which it is shown. Two stored names can display alike, because
// the public host and the default namespace are left out in whatever case they are spelled: the
// canonical spelling keeps the name, the others are shown with all their parts (docs/view.md §1).
// Removes the models that no name can show and adds a problem for each of these and for each
// renamed one.
void assign_shown_names(std::vector<Model>& models, std::vector<Problem>& problems);

}  // namespace ollamafs
