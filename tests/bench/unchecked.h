/* The daemon without the compare-and-set of its commits: what exactness costs is the difference (section `exactness`). */
#pragma once

enum { MUTANT_none, MUTANT_unchecked_commit };
#define mutant_planted MUTANT_unchecked_commit
