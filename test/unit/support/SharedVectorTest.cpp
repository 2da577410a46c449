#include "compiler/support/SharedVector.h"
#include <catch2/catch.hpp>

using namespace whale;

TEST_CASE("copies of a shared vector share until one is changed") {
  SharedVector<int> first = {1, 2, 3};
  const SharedVector<int> copy = first;
  const SharedVector<int> &same = first;
  CHECK(same.data() == copy.data());
  first[1] = 7;
  CHECK(same.data() != copy.data());
  CHECK(std::vector<int>(same) == std::vector<int>{1, 7, 3});
  CHECK(std::vector<int>(copy) == std::vector<int>{1, 2, 3});
  const int *own = same.data();
  first.back() = 4;
  CHECK(same.data() == own);
}

TEST_CASE("shared vectors are equal by their values") {
  SharedVector<int> none, one = {1};
  CHECK(none == SharedVector<int>(std::vector<int>()));
  CHECK(one == SharedVector<int>({1}));
  CHECK_FALSE(one == none);
  none.push_back(1);
  CHECK(one == none);
  for (int &value : none)
    value = 2;
  CHECK(one.front() == 1);
}
