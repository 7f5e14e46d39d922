#include "cli/cli.h"
#include "connectors/registry.h"

int main(int argc, char** argv) { return ferry::cli::run(argc, argv, ferry::connectors::make_registry()); }
