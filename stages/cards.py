"""Stage `cards`: model card and data card, from the files that the report is made of."""

from moclip.base.files import read_json, write_text
from moclip.data.manifest import read_manifest
from moclip.report.cards import data_card, model_card
from stages._entry import all_params, arguments, run


def main() -> None:
    args = arguments("summary", "accounting", "dataset", "manifest", "audit", "model_card", "data_card")
    params, audit, dataset = all_params(), read_json(args.audit), read_json(args.dataset)
    page = model_card(read_json(args.summary), params, read_json(args.accounting), audit, dataset)
    write_text(args.model_card, page)
    write_text(args.data_card, data_card(dataset, params, audit, read_manifest(args.manifest).values()))


if __name__ == "__main__":
    run(main)
