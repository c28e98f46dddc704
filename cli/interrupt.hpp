// Stopping on Ctrl-C.
#pragma once

namespace gradstab::cli {

/// From now on the first Ctrl-C or SIGTERM asks for an orderly end, a second one ends the program at once, as
/// it always would.
void catch_interrupts();

/// Whether the first one came.
bool interrupted();

}  // namespace gradstab::cli
