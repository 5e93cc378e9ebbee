// Runs the tests of the emulator; an argument selects tests whose name contains it.
#include "cuda.h"

int main(int argc, char **argv) { return check::runAll(argc > 1 ? argv[1] : nullptr) ? 1 : 0; }
