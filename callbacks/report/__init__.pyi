from .page import Chart as Chart, write_material as write_material, write_report as write_report
