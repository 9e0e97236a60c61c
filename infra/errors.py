"""What can go wrong, by one root: each message says what happened and what to do.

```
SepError
├── BackupError, DumpError      a backup was not made, or is not whole
├── BadTime                     what was typed is no time
├── BarsError                   bars cannot be measured
├── BrokerError                 a broker gives no good answer
├── CannotAccept                a journal cannot go on from where the broker stands
├── ChildrenFailed              runs that another run started failed
├── ClockError, SourceError     a source is not what it should be
├── DatabaseError               no database answers
├── DemoFailed                  a run of the demo failed
├── Discrepancy                 an account contradicts itself
├── DocumentError               a file is not the document it should be
├── DslError                    a strategy's text is no program
├── GridError                   a grid of parameters is none, or says nothing
├── HoldoutUsed, Locked         a holdout was opened before, or is not to be looked at yet
├── IngestFailed                a file was refused, or its run did not complete
├── InstrumentsError            a file of instruments is not what it should be
├── LeaseHeld, LeaseLost        another executor acts
├── LimitsError                 limits of risk are not what they may be
├── ModelRefused, NoModel       no model may be used
├── NoAnswer                    a venue did not answer, or not with what it was asked for
├── NoReport                    no run or model has such a report
├── NoBroker, NotArmed          the settings name no broker, or live trading is not armed so
├── NoBars, NoSuchBar           there is no such bar
├── NoSeries                    there are no bars of such a pair or timeframe
├── NoSignal                    there is no signal of such a number
├── NoSpace                     a disk is full
├── NotCarried, NotOffered      a model or bars did not come from another machine
├── NotOurs                     a file of answers has lines that no self-test wrote
├── NothingStored               no row of a source is a bar
├── NothingToAudit              there is no signal that could change
├── NoTrees                     a model has trees, and LightGBM is not installed
├── PathStoreError              the database cannot hold paths
├── PrefectError                Prefect refused a request, or does not answer
├── Refusal                     the simulated venue refuses a request
├── RemovalError                there are no such bars to be removed or put back
├── ServerError                 a server did not start or stop
├── SiteError                   there is no such machine, or it lacks a server
├── StoreError, TierError       bars are damaged, or not on this machine
├── TooShort                    a history is too short to be split
├── UnfitFigure                 a figure that risk is judged by is missing
└── UnknownInstrument           no instrument goes by that name
```

Each is a built-in error, too, where one fits. Kernels stand alone: `EngineUnavailable` is theirs.
"""

from __future__ import annotations


class SepError(Exception):
    """Root of what this project raises for its users."""
