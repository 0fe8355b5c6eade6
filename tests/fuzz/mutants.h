/*
 * The planted bugs of decoders (FUZZ_MUTANT of common/mutant.h), each with the fuzz target that must catch it, and those that
 * no result shows, each with the tools that must: address, undefined, threads (suite sanitize), valgrind. At most one is
 * planted at a time, by the environment (mutants.c).
 */
#pragma once

#ifdef SLUICE_MUTANTS_FUZZ

#define FUZZ_MUTANTS_EACH(M) \
    M(utf8_overlong, event, "an overlong sequence passes for UTF-8") \
    M(utf8_surrogate, event, "a surrogate passes for UTF-8") \
    M(utf8_cut, event, "a sequence is read beyond the end") \
    M(hex_cut, event, "three hex digits at the end are read as four") \
    M(low_surrogate, event, "anything above passes for the second of a pair") \
    M(leading_zero, event, "a number may begin with a zero") \
    M(integer_wraps, event, "an integer of twenty digits wraps around") \
    M(integer_edge, event, "2^63 passes for an integer") \
    M(depth_forgotten, event, "depth is not bounded") \
    M(depth_kept, event, "depth is not given back behind an object") \
    M(names_kept, event, "names of an inner object stand in the outer one") \
    M(keys_uncounted, event, "more names than there is room for") \
    M(owned_unbounded, state, "a count is believed before its bytes are there") \
    M(visit_place, state, "a visit refers to a room that is not there") \
    M(scenes_overflow, state, "more scenes than there is room for") \
    M(bucket_unbounded, state, "times of buckets add up beyond 64 bits") \
    M(bucket_level, state, "a bucket of a level that does not exist") \
    M(positions_overflow, state, "more positions than there is room for") \
    M(folds_overflow, state, "more fold settings than there is room for") \
    M(slice_beyond, records, "a text is longer than what is left") \
    M(name_beyond, records, "a name is longer than what is left") \
    M(counters_overflow, records, "more counters than there is room for") \
    M(counter_unknown, records, "a counter that does not exist") \
    M(step_beyond, records, "an entry's predecessor stands before the log") \
    M(tag_text_long, records, "a tag's text is longer than its place") \
    M(choice_long, records, "more alternatives than a choice has room for") \
    M(segments_overflow, records, "more segments than there is room for") \
    M(items_overflow, records, "more items of a room than there is room for") \
    M(list_overflow, tables, "a longer list than there is room for") \
    M(dims_overflow, tables, "more dimensions than there is room for") \
    M(key_short, tables, "the name is cut from a key that is shorter than its prefix") \
    M(value_unbounded, tables, "a weight beyond what an integer holds") \
    M(range_ignored, config, "a number above its range") \
    M(properties_overflow, config, "more properties than there is room for") \
    M(elements_unbounded, replies, "an announced array is believed") \
    M(role_short, replies, "an answer to ROLE without its fields") \
    M(host_long, replies, "a host's name that is longer than its place") \
    M(load_elements, replies, "another number of blobs than was asked for") \
    M(number_long, text, "a number of a list that is longer than its place") \
    M(address_long, text, "an address that is longer than its place") \
    M(view_long, text, "a list of more places than there is room for") \
    M(grown_short, address_valgrind, "a writer takes one byte less than it believes") \
    M(realloc_ignored, address_valgrind, "a writer goes on in memory that was given back") \
    M(not_given_back, address_valgrind, "a writer keeps its memory") \
    M(uncleared, valgrind, "counters begin with what memory holds") \
    M(shift_wide, undefined, "a shift as wide as its number, right on this processor") \
    M(not_locked, threads, "the watchdog is told without its lock")

#define FUZZ_MUTANT_ENUM(name, target, text) FUZZ_MUTANT_##name,
enum fuzz_mutant { FUZZ_MUTANT_none, FUZZ_MUTANTS_EACH(FUZZ_MUTANT_ENUM) FUZZ_MUTANT_COUNT };
#undef FUZZ_MUTANT_ENUM

extern enum fuzz_mutant fuzz_mutant;

#endif
