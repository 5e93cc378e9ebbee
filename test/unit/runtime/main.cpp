// Runs the runtime's unit tests; an argument selects tests whose name contains it.
#include "check.h"

int main(int argc, char **argv) { return check::runAll(argc > 1 ? argv[1] : nullptr) ? 1 : 0; }
