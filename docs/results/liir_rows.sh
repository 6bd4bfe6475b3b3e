# The rows by `liir` of liir_rows.csv. FLAGS are those of a row in studies/liir_small.yaml, with
# --model.reference_encoder average --model.bank.negatives shared
TRAIN="--config liir.yaml --config trainer/cpu.yaml --trainer.precision auto --config data/clips.yaml --trainer.max_steps -1 --data.frames 2
    --data.sampling Continuous --data.sampling.interval [2,5,8] --data.sampling.weights [0.66,0.25,0.08] --data.crops WholeFrames
    --data.size 96 --data.batch_size 8 --data.validation_fraction 0 --data.samples_per_epoch 800 --data.num_workers 1
    --model.position_size 48 --model.encoder_momentum 0.99 --model.schedule.warmup_epochs 5 --model.schedule.warmup_accumulation 1
    --model.schedule.warmup_decay_samples 4000 --model.schedule.decay_samples 1600 --model.bank.frames 480 --seed_everything SEED"
vidcorr fit $TRAIN --trainer.max_epochs 5 [--model.position none]                        # the first phase
vidcorr fit $TRAIN --trainer.max_epochs 7 FLAGS --ckpt_path FIRST_PHASE/last.ckpt
vidcorr evaluate last.ckpt --on davis_liir=data/DAVIS-8 --change mixture_components=null \
    --protocol liir+input_size=240+radius=7+backbone_precision=auto

# The runs at m = 0.999. Liir-321 is seed 0, stopped after 321 steps
vidcorr fit --config configs/liir.yaml --config configs/data/clips.yaml \
    --trainer.accelerator cpu \
    --trainer.precision bf16-mixed --trainer.max_epochs 7 \
    --data.frames 2 --data.sampling Continuous --data.sampling.interval '[2, 5, 8]' --data.sampling.weights '[0.4, 0.4, 0.2]' \
    --data.crops WholeFrames --data.size 96 --data.batch_size 8 --data.validation_fraction 0 --data.samples_per_epoch 800 \
    --data.num_workers 1 --model.position_size 48 --model.bank.frames 240 --model.schedule.warmup_epochs 6 \
    --model.schedule.warmup_accumulation 1 --model.schedule.warmup_decay_samples 4800 --model.schedule.decay_samples 800 \
    --seed_everything SEED --model.seed SEED --data.seed SEED

# liir_statistics.csv, S true and false, SEED 0 to 2: AMD EPYC, one thread a run, bfloat16, 1 December 2026, commits 08359721
# (training and score of seed 0) to b1aa2527
vidcorr fit $TRAIN --trainer.max_epochs 7 --data.samples_per_epoch 400 --data.size 64 --data.num_workers 0 \
    --model.position_size 32 --model.schedule.warmup_decay_samples 2000 --model.schedule.decay_samples 800 \
    --model.shared_statistics S
vidcorr evaluate last.ckpt --on davis_240p=data/DAVIS-8 --stage affinity \
    --protocol vfs+input_filter=bilinear-antialias+input_size=240+radius=12+backbone_precision=auto
