"""Score frozen networks on benchmarks and print a table, with differences from a base network if --base names it."""

from collections.abc import Sequence
from dataclasses import replace

from ..experiments.configured import common_flags, read_changes, read_on, views_of
from ..experiments.protocol_choice import protocols_of


def command(args: Sequence[str]) -> None:
    """Run `vidcorr evaluate`; a user's mistake raises UsageError, ValueError or OSError."""
    parser = common_flags("vidcorr evaluate", __doc__, "evaluation")
    named = "checkpoint, my_module:my_network, dino-b8 or another short name, timm:NAME, raw_colour, untrained, …"
    parser.add_argument("networks", nargs="*", metavar="NETWORK[@STAGE[/STRIDE]]", help=named)
    parser.add_argument("--base", default="", metavar="NETWORK", help="network to compare the others with")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="seeds of random weights (default: 0)")
    flags = parser.parse_args(list(args))
    names = list(flags.networks)
    if flags.base:
        names.append(flags.base)
    if not names:
        raise ValueError("evaluate: name a network, such as timm:resnet18.a1_in1k or raw_colour")
    if not flags.on:
        raise ValueError("evaluate: name a benchmark and the folder of its data: --on davis=/data/DAVIS")
    configured = read_on(flags.on)
    changes = read_changes(flags.change)

    from ..backbones.trust import allow_named
    from ..benchmarks.network import NetworkSpec
    from ..experiments.evaluate import Job, run_jobs, under

    allow_named(args)
    benchmarks = [one.build(limit_sequences=flags.limit) for benchmark in configured for one in benchmark.by_stage()]
    protocols = protocols_of(benchmarks, flags.protocol, changes)
    networks: list[NetworkSpec] = []
    for name in dict.fromkeys(names):
        network = NetworkSpec.read(name, flags.pretrained)
        seeds = flags.seeds if network.is_random else [network.seed]
        networks += [replace(network, seed=seed) for seed in seeds]
    jobs = []
    for network in views_of(networks, flags.stage, flags.stride):
        for benchmark, of_benchmark in zip(benchmarks, protocols, strict=True):
            jobs += [Job(network, under(benchmark, protocol)) for protocol in of_benchmark]
    base = ""
    if flags.base:
        base = NetworkSpec.read(flags.base, flags.pretrained).name
    run_jobs(jobs, flags.output, base)
