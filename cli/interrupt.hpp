// Stopping on Ctrl-C, and when the terminal goes.
#pragma once

namespace gradstab::cli {

/// From now on the first Ctrl-C or SIGTERM asks for an orderly end, a second one ends the program at once, as
/// it always would. A terminal that is closed (SIGHUP) asks for an orderly end, too, unless the program was
/// started with nohup. Whoever read its output and has gone ends nothing: writing there is an error then, no
/// signal.
void catch_interrupts();

/// Whether the first one came.
bool interrupted();

}  // namespace gradstab::cli
