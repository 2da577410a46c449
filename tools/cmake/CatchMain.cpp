// The one main() of every unit test; a library of its own, built at -O0,
// because this is the slowest translation unit of Catch2.
#define CATCH_CONFIG_MAIN
#include <catch2/catch.hpp>
